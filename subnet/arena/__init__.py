"""Strategies against attacks on real training: every pair is a cell, played over seeds and compared."""

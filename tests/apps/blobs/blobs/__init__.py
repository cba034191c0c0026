"""A tiny subnet for tests."""

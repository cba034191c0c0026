"""A small, quick subnet: 8 x 8 digits and a little network."""

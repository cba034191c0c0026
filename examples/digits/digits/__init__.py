"""A subnet that learns to read handwritten digits."""

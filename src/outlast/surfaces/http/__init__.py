"""HTTP face."""

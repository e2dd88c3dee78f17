"""Placeholder while the model backend is being written."""

"""Faces: each translates, none decides."""

"""Operating-system processes; no database."""

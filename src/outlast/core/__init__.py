"""Pure floor: no I/O, no clock, no randomness."""

"""How work is done: each runtime returns an outcome and writes nothing."""

"""The ledger: tasks as the source of truth."""

"""The commands of the ledger; ``verbs_tasks`` has their table."""

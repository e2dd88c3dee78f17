"""The commands of telling; ``verbs_told`` has their table."""

"""The commands of flows; ``verbs_flow`` has their table."""

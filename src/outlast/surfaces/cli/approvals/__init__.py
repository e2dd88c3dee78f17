"""The commands of approvals; ``verbs_approvals`` has their table."""

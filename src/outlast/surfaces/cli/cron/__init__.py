"""The commands of work to come; ``verbs_cron`` has their table."""

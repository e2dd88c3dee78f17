"""When work is due: cron expressions in zones, moments as people write them, crontabs. No store in here."""

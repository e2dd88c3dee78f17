UPDATE agent_conversation SET updated_at = :at WHERE key = :conversation AND updated_at < :at;

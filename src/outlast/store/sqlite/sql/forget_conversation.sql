DELETE FROM agent_conversation WHERE key = :key;

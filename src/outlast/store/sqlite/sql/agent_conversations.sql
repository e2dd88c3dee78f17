SELECT {agent_conversation} FROM agent_conversation WHERE key > :after ORDER BY key LIMIT :limit;

SELECT {agent_conversation} FROM agent_conversation WHERE key = :key;

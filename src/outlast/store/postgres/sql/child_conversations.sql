SELECT {agent_conversation} FROM agent_conversation
WHERE parent = :parent AND parent IS NOT NULL AND key > :after ORDER BY key LIMIT :limit;

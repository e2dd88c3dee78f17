SELECT {agent_conversation} FROM agent_conversation
WHERE agent = :agent AND key > :after ORDER BY key LIMIT :limit;

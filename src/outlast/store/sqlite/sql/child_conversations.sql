SELECT {agent_conversation} FROM agent_conversation INDEXED BY agent_conversation_parent
WHERE parent = :parent AND parent IS NOT NULL AND key > :after ORDER BY key LIMIT :limit;

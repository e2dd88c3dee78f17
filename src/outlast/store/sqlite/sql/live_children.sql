SELECT task.id
FROM agent_conversation AS child INDEXED BY agent_conversation_parent
CROSS JOIN task INDEXED BY task_conversation_live ON task.conversation = child.key
WHERE child.parent = :parent AND child.parent IS NOT NULL
    AND task.conversation IS NOT NULL AND task.status IN ('queued', 'running')
LIMIT :limit;

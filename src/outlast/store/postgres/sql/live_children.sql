SELECT task.id
FROM agent_conversation AS child
JOIN task ON task.conversation = child.key COLLATE "default"
WHERE child.parent = :parent AND child.parent IS NOT NULL
    AND task.conversation IS NOT NULL AND task.status IN ('queued', 'running')
LIMIT :limit;

-- The nearest first: what may spawn more is named before what it has spawned.
WITH RECURSIVE below (key, depth) AS (
    SELECT child.key, child.depth FROM agent_conversation AS child INDEXED BY agent_conversation_parent
    WHERE child.parent = :parent AND child.parent IS NOT NULL
    UNION
    SELECT child.key, child.depth
    FROM below CROSS JOIN agent_conversation AS child INDEXED BY agent_conversation_parent
        ON child.parent = below.key AND child.parent IS NOT NULL
)
SELECT task.id FROM below CROSS JOIN task INDEXED BY task_conversation_live
    ON task.conversation = below.key AND task.conversation IS NOT NULL AND task.status IN ('queued', 'running')
ORDER BY below.depth LIMIT :limit;

-- The nearest first: what may spawn more is named before what it has spawned.
WITH RECURSIVE below (key, depth) AS (
    SELECT child.key, child.depth FROM agent_conversation AS child
    WHERE child.parent = :parent AND child.parent IS NOT NULL
    UNION
    SELECT child.key, child.depth
    FROM below JOIN agent_conversation AS child
        ON child.parent = below.key AND child.parent IS NOT NULL
)
SELECT task.id FROM below JOIN task
    ON task.conversation = below.key COLLATE "default" AND task.conversation IS NOT NULL AND task.status IN ('queued', 'running')
ORDER BY below.depth LIMIT :limit;

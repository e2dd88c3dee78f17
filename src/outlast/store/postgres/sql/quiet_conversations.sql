SELECT
    quiet.key, (SELECT min(seq) FROM transcript WHERE conversation = quiet.key),
    (SELECT max(seq) FROM transcript WHERE conversation = quiet.key)
FROM agent_conversation AS quiet
WHERE quiet.updated_at < :before AND NOT EXISTS (
    SELECT 1 FROM task
    WHERE task.conversation = quiet.key COLLATE "default" AND task.conversation IS NOT NULL AND task.status IN ('queued', 'running')
)
ORDER BY quiet.updated_at LIMIT :limit;

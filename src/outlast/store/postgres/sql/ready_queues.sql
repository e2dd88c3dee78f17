-- The names of queues with ready tasks, one index step for each name.
WITH RECURSIVE name (queue) AS (
    SELECT min(queue) FROM task WHERE status = 'queued' AND not_before_at IS NULL
    UNION ALL
    SELECT (
        SELECT min(task.queue) FROM task
        WHERE task.status = 'queued' AND task.not_before_at IS NULL AND task.queue > name.queue
    )
    FROM name WHERE name.queue IS NOT NULL
)
SELECT queue FROM name WHERE queue IS NOT NULL;

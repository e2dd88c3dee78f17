SELECT {task} FROM task
WHERE status IN ('queued', 'running') AND deadline_at IS NOT NULL AND deadline_at < :now
ORDER BY deadline_at LIMIT :limit;

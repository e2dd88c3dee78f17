SELECT {task} FROM task INDEXED BY task_deadline
WHERE status IN ('queued', 'running') AND deadline_at IS NOT NULL AND deadline_at < :now
ORDER BY deadline_at LIMIT :limit;

SELECT {task} FROM task
WHERE status = 'queued' AND created_at < :before
ORDER BY created_at, id LIMIT :limit;

SELECT {task} FROM task
WHERE status = 'running' AND seen_at < :before
ORDER BY seen_at, id LIMIT :limit;

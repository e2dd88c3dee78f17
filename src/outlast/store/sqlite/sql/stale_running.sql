SELECT {task} FROM task INDEXED BY task_running
WHERE status = 'running' AND seen_at < :before
ORDER BY seen_at, id LIMIT :limit;

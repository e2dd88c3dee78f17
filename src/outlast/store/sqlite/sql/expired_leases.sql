SELECT {task} FROM task INDEXED BY task_running
WHERE status = 'running' AND lease_until < :now
ORDER BY lease_until, id LIMIT :limit;

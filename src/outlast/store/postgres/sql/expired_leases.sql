SELECT {task} FROM task
WHERE status = 'running' AND lease_until < :now
ORDER BY lease_until, id LIMIT :limit;

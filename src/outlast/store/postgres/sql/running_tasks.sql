SELECT {task} FROM task
WHERE status = 'running' AND id > :after AND (CAST(:node AS text) IS NULL OR node = :node)
ORDER BY id LIMIT :limit;

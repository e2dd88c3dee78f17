SELECT {task} FROM task
WHERE status = 'running' AND cancel_asked_at IS NOT NULL AND (CAST(:node AS text) IS NULL OR node = :node)
ORDER BY cancel_asked_at, id LIMIT :limit;

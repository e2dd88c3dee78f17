SELECT {task} FROM task INDEXED BY task_cancelling
WHERE status = 'running' AND cancel_asked_at IS NOT NULL AND (:node IS NULL OR node = :node)
ORDER BY cancel_asked_at, id LIMIT :limit;

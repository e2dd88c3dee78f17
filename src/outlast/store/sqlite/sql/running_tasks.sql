SELECT {task} FROM task INDEXED BY task_running
WHERE status = 'running' AND id > :after AND (:node IS NULL OR node = :node)
ORDER BY id LIMIT :limit;

-- Payloads are those of live work, so there are few to look at.
SELECT {task.} FROM payload JOIN task ON task.id = payload.task_id
WHERE task.status NOT IN ('queued', 'running')
ORDER BY payload.task_id LIMIT :limit;

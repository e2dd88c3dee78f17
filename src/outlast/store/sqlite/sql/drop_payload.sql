DELETE FROM payload
WHERE task_id = :id AND NOT EXISTS (SELECT 1 FROM task WHERE id = :id AND status IN ('queued', 'running'))
RETURNING task_id;

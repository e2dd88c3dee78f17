DELETE FROM task
WHERE id = :id AND status NOT IN ('queued', 'running')
    AND NOT EXISTS (SELECT 1 FROM outbox WHERE task_id = :id AND state = 'pending')
RETURNING id;

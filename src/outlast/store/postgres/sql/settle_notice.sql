UPDATE outbox SET state = :state, settled_at = :now, error = :error
WHERE id = :id AND state = 'pending'
RETURNING task_id, event_id;

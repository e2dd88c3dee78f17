UPDATE outbox SET state = 'pending', attempts = 0, next_at = :now, settled_at = NULL
WHERE id = :id AND state IN ('parked', 'dismissed')
RETURNING task_id, event_id;

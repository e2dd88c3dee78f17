UPDATE outbox SET state = 'dismissed', settled_at = :now
WHERE id = :id AND state IN ('pending', 'parked')
RETURNING task_id, event_id;

UPDATE wake SET due_at = NULL, attempts = 0, error = NULL, sent_event_id = :sent_event_id, sent_at = :now
WHERE id = :id
RETURNING conversation;

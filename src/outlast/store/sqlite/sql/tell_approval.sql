-- Only while somebody can still answer.
INSERT INTO outbox (task_id, event_id, at, kind, target, state, idempotency_key, body)
SELECT :task_id, 0, :at, :kind, :target, 'pending', :idempotency_key, :body
WHERE EXISTS (SELECT 1 FROM approval WHERE id = :task_id AND status = 'pending')
ON CONFLICT (idempotency_key) DO NOTHING
RETURNING id;

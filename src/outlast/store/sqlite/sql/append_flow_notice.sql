-- No line of a task's history belongs to it.
INSERT INTO outbox (task_id, event_id, at, kind, target, state, idempotency_key, body)
VALUES (:task_id, 0, :at, :kind, :target, 'pending', :idempotency_key, :body);

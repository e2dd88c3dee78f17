-- The row inserted last is the line of history this notice belongs to.
INSERT INTO outbox (task_id, event_id, at, kind, target, state, idempotency_key, body)
VALUES (:task_id, last_insert_rowid(), :at, :kind, :target, 'pending', :idempotency_key, :body);

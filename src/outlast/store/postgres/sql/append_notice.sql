INSERT INTO outbox (task_id, event_id, at, kind, target, state, idempotency_key, body)
VALUES (
    :task_id, (SELECT max(id) FROM event WHERE task_id = :task_id), :at, :kind, :target, 'pending', :idempotency_key, :body
);

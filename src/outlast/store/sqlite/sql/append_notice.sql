-- The newest event is that of the very act this notice belongs to: acts run one after the other.
INSERT INTO outbox (task_id, event_id, at, kind, target, state, idempotency_key, body)
VALUES (
    :task_id, (SELECT max(id) FROM event), :at, :kind, :target, 'pending', :idempotency_key, :body
);

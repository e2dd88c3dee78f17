-- No line of a task's history belongs to it.
INSERT INTO outbox (task_id, event_id, at, kind, target, state, idempotency_key, body)
SELECT task_id, 0, at, kind, target, 'pending', idempotency_key, body
FROM json_to_recordset(:rows) AS new (
    task_id text, at double precision, kind text, target text, idempotency_key text, body text
);

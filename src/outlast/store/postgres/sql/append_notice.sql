INSERT INTO outbox (task_id, event_id, at, kind, target, state, idempotency_key, body)
SELECT
    task_id, (SELECT max(id) FROM event WHERE event.task_id = new.task_id AND event.verb = new.verb), at, kind, target,
    'pending', idempotency_key, body
FROM json_to_recordset(:rows) AS new (
    task_id text, verb text, at double precision, kind text, target text, idempotency_key text, body text
);

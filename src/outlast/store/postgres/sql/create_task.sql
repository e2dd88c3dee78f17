INSERT INTO task (
    id, runtime, kind, source, requester, status, created_at, revision, ask, detail, conversation, parent_id, flow_id,
    node, label, title, attempt, attempts_max, retry, notify, delivery, priority, queue, dedupe_key, deadline_at,
    not_before_at, session_id, schedule_id, channel
)
SELECT
    id, runtime, kind, source, requester, status, created_at, revision, ask, detail, conversation, parent_id, flow_id,
    node, label, title, attempt, attempts_max, retry, notify, delivery, priority, queue, dedupe_key, deadline_at,
    not_before_at, session_id, schedule_id, channel
FROM json_to_recordset(:rows) AS new (
    id text, runtime text, kind text, source text, requester text, status text, created_at double precision,
    revision integer, ask text, detail text, conversation text, parent_id text, flow_id text, node text, label text,
    title text, attempt integer, attempts_max integer, retry text, notify text, delivery text, priority integer,
    queue text, dedupe_key text, deadline_at double precision, not_before_at double precision, session_id text,
    schedule_id text, channel text
);

INSERT INTO flow (
    id, mode, name, requester, status, created_at, updated_at, revision, handler, ask, goal, state, conversation, channel,
    label, parent_id, parent_step, task_id, schedule_id, node, priority, notify, delivery, dedupe_key, concurrency_key,
    concurrency_max, key_held, attempt, attempts_max, retry, deadline_at, ready_at, nudges, wait, crashes, crash_seq
)
SELECT
    id, mode, name, requester, status, created_at, updated_at, revision, handler, ask, goal, state, conversation, channel,
    label, parent_id, parent_step, task_id, schedule_id, node, priority, notify, delivery, dedupe_key, concurrency_key,
    concurrency_max, key_held, attempt, attempts_max, retry, deadline_at, ready_at, nudges, wait, crashes, crash_seq
FROM json_to_recordset(:rows) AS new (
    id text, mode text, name text, requester text, status text, created_at double precision, updated_at double precision,
    revision integer, handler text, ask text, goal text, state text, conversation text, channel text, label text,
    parent_id text, parent_step text, task_id text, schedule_id text, node text, priority integer, notify text,
    delivery text, dedupe_key text, concurrency_key text, concurrency_max integer, key_held integer, attempt integer,
    attempts_max integer, retry text, deadline_at double precision, ready_at double precision, nudges integer, wait text,
    crashes integer, crash_seq integer
);

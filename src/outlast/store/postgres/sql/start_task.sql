-- New work that is claimed as it is put on record: forced, or because its queue has room and nothing that goes
-- before it waits there for anybody, for its node, or for a moment that has come. The rows of one statement do not
-- see each other, so each counts those before it as running.
INSERT INTO task (
    id, runtime, kind, source, requester, status, created_at, revision, ask, detail, conversation, parent_id, flow_id,
    node, label, title, attempt, attempts_max, retry, notify, delivery, priority, queue, dedupe_key, deadline_at,
    started_at, seen_at, claim_id, claimed_by, lease_until, session_id, schedule_id,
    channel
)
SELECT
    id, runtime, kind, source, requester, status, created_at, revision, ask, detail, conversation, parent_id, flow_id,
    node, label, title, attempt, attempts_max, retry, notify, delivery, priority, queue, dedupe_key, deadline_at,
    started_at, seen_at, claim_id, claimed_by, lease_until, session_id, schedule_id,
    channel
FROM (
    SELECT *, row_number() OVER (PARTITION BY queue ORDER BY ordinality) AS place
    FROM ROWS FROM (json_to_recordset(:rows) AS (
        id text, runtime text, kind text, source text, requester text, status text, created_at double precision,
        revision integer, ask text, detail text, conversation text, parent_id text, flow_id text, node text, label text,
        title text, attempt integer, attempts_max integer, retry text, notify text, delivery text, priority integer,
        queue text, dedupe_key text, deadline_at double precision, started_at double precision,
        seen_at double precision, claim_id text, claimed_by text, lease_until double precision, session_id text,
        schedule_id text, channel text, force boolean
    )) WITH ORDINALITY
) AS new
WHERE force OR NOT EXISTS (
    SELECT 1 FROM queue
    WHERE name = new.queue
        AND limit_max < place + (SELECT count(*) FROM task WHERE status = 'running' AND queue = new.queue)
) AND NOT EXISTS (
    SELECT 1 FROM task
    WHERE status = 'queued' AND not_before_at IS NULL AND queue = new.queue AND node IS NULL
        AND priority >= new.priority AND (priority > new.priority OR (created_at, id) < (new.created_at, new.id))
) AND NOT EXISTS (
    SELECT 1 FROM task
    WHERE status = 'queued' AND not_before_at IS NULL AND queue = new.queue AND node = new.node
        AND priority >= new.priority AND (priority > new.priority OR (created_at, id) < (new.created_at, new.id))
) AND NOT EXISTS (
    SELECT 1 FROM task
    WHERE status = 'queued' AND not_before_at IS NOT NULL AND not_before_at <= new.created_at AND queue = new.queue
        AND (node IS NULL OR node = new.node) AND priority >= new.priority
        AND (priority > new.priority OR (created_at, id) < (new.created_at, new.id))
)
RETURNING id;

-- What it was told so far is read with it, so its nudges are seen.
-- The last term is always true, and makes the planner take few rows for granted: so it goes by keys, however small
-- the table was when the plan was made.
UPDATE flow SET
    status = 'running', revision = flow.revision + 1, updated_at = new.now,
    attempt = flow.attempt + CASE WHEN flow.status = 'queued' THEN 1 ELSE 0 END,
    started_at = coalesce(flow.started_at, new.now), ready_at = new.lease_until, nudges = 0, wait = NULL,
    blocker = NULL, claim_id = new.claim_id, claimed_by = new.worker, lease_until = new.lease_until
FROM json_to_recordset(:rows) AS new (
    id text, claim_id text, worker text, now double precision, lease_until double precision
)
WHERE flow.id = new.id AND NOT coalesce(flow.ready_at > new.now, true) AND flow.ended_at IS NULL
    AND new.id || '' = new.id
RETURNING {flow.};

-- Queued without a place among those of its key, it waits for one. Workers that died before no longer count.
UPDATE flow SET
    status = new.target, revision = flow.revision + 1, updated_at = new.at,
    attempt = greatest(0, flow.attempt + new.attempts),
    ready_at = CASE
        WHEN new.target = 'queued' AND flow.concurrency_key IS NOT NULL AND flow.key_held = 0 THEN NULL
        ELSE new.ready_at
    END,
    crashes = CASE WHEN new.target = 'queued' THEN 0 ELSE flow.crashes END,
    crash_seq = CASE WHEN new.target = 'queued' THEN 0 ELSE flow.crash_seq END,
    cause = coalesce(new.cause, flow.cause), error = coalesce(new.error, flow.error),
    step = coalesce(new.step, flow.step), state = coalesce(new.state, flow.state), wait = new.wait,
    blocker = new.blocker, result = coalesce(new.result, flow.result),
    steps_done = coalesce(new.steps_done, flow.steps_done), steps_known = coalesce(new.steps_known, flow.steps_known),
    claim_id = NULL, claimed_by = NULL, lease_until = NULL,
    delivery = CASE WHEN strpos(new.told, flow.notify) > 0 THEN 'pending' ELSE flow.delivery END
FROM json_to_recordset(:rows) AS new (
    id text, sources text, target text, at double precision, claim_id text, revision integer, unless_nudged integer,
    ready_at double precision, step text, state text, wait text, blocker text, cause text, error text, result text,
    steps_done integer, steps_known integer, told text, attempts integer
)
WHERE flow.id = new.id AND strpos(new.sources, flow.status) > 0
    AND (new.claim_id IS NULL OR flow.claim_id = new.claim_id)
    AND (new.revision IS NULL OR flow.revision = new.revision) AND (new.unless_nudged = 0 OR flow.nudges = 0)
RETURNING {flow.};

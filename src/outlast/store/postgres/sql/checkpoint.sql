-- A claim is on record only while it holds: what it gives is answered, be there anything to write or not.
-- What has ended is not overwritten by what has not.
WITH given AS (
    SELECT new.* FROM json_to_recordset(:rows) AS new (
        flow_id text, key text, seq integer, kind text, status text, attempt integer, started_at double precision,
        ended_at double precision, due_at double precision, result text, error text, ref text, claim_id text
    )
    WHERE EXISTS (SELECT 1 FROM flow WHERE flow.claim_id = new.claim_id AND flow.id = new.flow_id)
), written AS (
    INSERT INTO flow_step (
        flow_id, key, seq, kind, status, attempt, started_at, ended_at, due_at, result, error, ref
    )
    SELECT flow_id, key, seq, kind, status, attempt, started_at, ended_at, due_at, result, error, ref FROM given
    ON CONFLICT (flow_id, key) DO UPDATE SET
        seq = excluded.seq, kind = excluded.kind, status = excluded.status, attempt = excluded.attempt,
        started_at = excluded.started_at, ended_at = excluded.ended_at, due_at = excluded.due_at,
        result = excluded.result, error = excluded.error, ref = excluded.ref
    WHERE flow_step.status IN ('queued', 'running') OR excluded.status NOT IN ('queued', 'running')
    RETURNING flow_id
)
SELECT flow_id FROM given;

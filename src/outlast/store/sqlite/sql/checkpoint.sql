-- A claim is on record only while it holds. What has ended is not overwritten by what has not.
INSERT INTO flow_step (
    flow_id, key, seq, kind, status, attempt, started_at, ended_at, due_at, result, error, ref
)
SELECT
    :flow_id, :key, :seq, :kind, :status, :attempt, :started_at, :ended_at, :due_at, :result, :error, :ref
WHERE EXISTS (SELECT 1 FROM flow INDEXED BY flow_claim WHERE claim_id = :claim_id AND id = :flow_id)
ON CONFLICT (flow_id, key) DO UPDATE SET
    seq = excluded.seq, kind = excluded.kind, status = excluded.status, attempt = excluded.attempt,
    started_at = excluded.started_at, ended_at = excluded.ended_at, due_at = excluded.due_at,
    result = excluded.result, error = excluded.error, ref = excluded.ref
WHERE flow_step.status = 'running' OR flow_step.status = 'queued'
    OR (excluded.status <> 'running' AND excluded.status <> 'queued');

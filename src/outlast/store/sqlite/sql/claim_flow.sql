-- What it was told so far is read with it, so its nudges are seen.
UPDATE flow SET
    status = 'running', revision = revision + 1, updated_at = :now, attempt = attempt + (status = 'queued'),
    started_at = coalesce(started_at, :now), ready_at = :lease_until, nudges = 0, wait = NULL, blocker = NULL,
    claim_id = :claim_id, claimed_by = :worker, lease_until = :lease_until
WHERE id = :id AND ready_at <= :now AND ended_at IS NULL;

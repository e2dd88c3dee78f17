UPDATE task SET
    claim_id = :claim_id, claimed_by = :worker, lease_until = :lease_until, node = coalesce(CAST(:node AS text), node),
    revision = revision + 1
WHERE id = :id AND status = 'running' AND claim_id = :old_claim_id
RETURNING {task};

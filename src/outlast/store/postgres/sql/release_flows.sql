-- Who let go by itself is named no more: what he held was not left by a crash, and he can write nothing to it.
UPDATE flow SET
    ready_at = :now, lease_until = :now, claim_id = CASE WHEN :died THEN claim_id END,
    claimed_by = CASE WHEN :died THEN claimed_by END
WHERE claimed_by = :worker AND status = 'running' AND (ready_at > :now OR NOT :died)
RETURNING id;

UPDATE task SET
    status = 'running', revision = revision + 1, attempt = attempt + 1, started_at = :now, seen_at = :now,
    claim_id = :claim_id, claimed_by = :worker, lease_until = :lease_until, node = coalesce(CAST(:node AS text), node),
    delivery = CASE WHEN strpos(:told, notify) > 0 THEN 'pending' ELSE delivery END
WHERE id = :id AND status = 'queued'
RETURNING {task};

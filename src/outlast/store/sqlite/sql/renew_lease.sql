UPDATE task SET lease_until = :until, seen_at = :now
WHERE claim_id = :claim_id AND status = 'running'
RETURNING claim_id;

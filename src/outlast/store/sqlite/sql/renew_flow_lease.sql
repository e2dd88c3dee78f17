UPDATE flow SET lease_until = coalesce(:until, lease_until), ready_at = coalesce(:until, lease_until)
WHERE claim_id = :claim_id AND claim_id IS NOT NULL AND (:id IS NULL OR id = :id)
RETURNING claim_id;

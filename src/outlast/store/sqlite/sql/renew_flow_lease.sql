UPDATE flow SET lease_until = coalesce(:until, lease_until), ready_at = coalesce(:until, lease_until)
WHERE claim_id = :claim_id AND claim_id IS NOT NULL
RETURNING claim_id;

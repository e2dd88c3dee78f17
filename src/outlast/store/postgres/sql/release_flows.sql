UPDATE flow SET ready_at = :now, lease_until = :now
WHERE claimed_by = :worker AND status = 'running' AND ready_at > :now
RETURNING id;

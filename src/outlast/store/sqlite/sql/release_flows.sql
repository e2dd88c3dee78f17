UPDATE flow INDEXED BY flow_held SET ready_at = :now, lease_until = :now
WHERE claimed_by = :worker AND status = 'running' AND ready_at > :now
RETURNING id;

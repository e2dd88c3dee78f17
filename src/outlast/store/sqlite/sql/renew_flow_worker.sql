UPDATE flow_worker SET handlers = :handlers, lease_until = :lease_until WHERE id = :id RETURNING id;

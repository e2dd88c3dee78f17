UPDATE beat SET lease_until = :until WHERE id = :id AND ended_at IS NULL RETURNING id;

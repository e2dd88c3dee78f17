SELECT id FROM flow
WHERE parent_id = :parent_id AND parent_id IS NOT NULL AND ended_at IS NULL LIMIT :limit;

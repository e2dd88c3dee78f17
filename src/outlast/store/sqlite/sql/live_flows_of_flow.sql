SELECT id FROM flow INDEXED BY flow_parent_live
WHERE parent_id = :parent_id AND parent_id IS NOT NULL AND ended_at IS NULL LIMIT :limit;

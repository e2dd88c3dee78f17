SELECT {flow} FROM flow WHERE parent_id = :parent_id ORDER BY created_at, id LIMIT :limit;

SELECT {task} FROM task WHERE parent_id = :parent_id ORDER BY created_at, id LIMIT :limit;

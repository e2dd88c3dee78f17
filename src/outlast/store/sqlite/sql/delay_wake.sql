UPDATE wake SET due_at = :due_at WHERE id = :id RETURNING id;

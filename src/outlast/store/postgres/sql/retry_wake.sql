UPDATE wake SET due_at = :due_at, attempts = attempts + 1, error = :error WHERE id = :id RETURNING id;

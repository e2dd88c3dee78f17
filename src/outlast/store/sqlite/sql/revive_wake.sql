UPDATE wake SET due_at = :now, attempts = 0, error = NULL, parked_at = NULL WHERE id = :id RETURNING id;

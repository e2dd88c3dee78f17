UPDATE wake SET due_at = NULL, attempts = attempts + 1, error = :error, parked_at = :now WHERE id = :id RETURNING conversation;

UPDATE outbox SET attempts = attempts + 1, next_at = :next_at, error = :error
WHERE id = :id AND state = 'pending'
RETURNING id;

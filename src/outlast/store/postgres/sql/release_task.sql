UPDATE task SET not_before_at = :not_before_at, revision = revision + 1
WHERE id = :id AND status = 'queued' AND not_before_at = :held_until
RETURNING id;

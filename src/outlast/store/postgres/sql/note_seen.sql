UPDATE task SET seen_at = greatest(seen_at, :now)
WHERE id = :id AND status = 'running'
RETURNING id;

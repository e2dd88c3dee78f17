UPDATE task SET seen_at = max(coalesce(seen_at, :now), :now)
WHERE id = :id AND status = 'running'
RETURNING id;

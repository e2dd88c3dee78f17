UPDATE task SET dismissed_at = :now, revision = revision + 1
WHERE id = :id AND status NOT IN ('queued', 'running') AND dismissed_at IS NULL;

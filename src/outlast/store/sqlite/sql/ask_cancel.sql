UPDATE task SET cancel_asked_at = :now, revision = revision + 1
WHERE id = :id AND status IN ('queued', 'running') AND cancel_asked_at IS NULL;

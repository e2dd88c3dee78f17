UPDATE task SET session_id = :session_id, revision = revision + 1
WHERE id = :id AND status IN ('queued', 'running') AND (CAST(:claim_id AS text) IS NULL OR claim_id = :claim_id)
RETURNING {task};

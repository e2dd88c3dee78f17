UPDATE task SET
    status = :target, revision = revision + 1, cause = :cause, detail = coalesce(CAST(:detail AS text), detail), error = :error,
    summary = coalesce(CAST(:summary AS text), summary), ended_at = :at, seen_at = :at, lease_until = NULL,
    delivery = CASE WHEN strpos(:told, notify) > 0 THEN 'pending' ELSE delivery END
WHERE id = :id AND status IN (:source, :source_too) AND (CAST(:claim_id AS text) IS NULL OR claim_id = :claim_id)
RETURNING {task};

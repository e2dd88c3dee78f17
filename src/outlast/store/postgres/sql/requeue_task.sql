UPDATE task SET
    status = 'queued', revision = revision + 1, attempt = attempt - CAST(:never_began AS integer), cause = NULL, detail = coalesce(CAST(:detail AS text), detail), error = :error,
    summary = coalesce(CAST(:summary AS text), summary), not_before_at = :not_before_at, seen_at = :at, started_at = NULL,
    claim_id = NULL, claimed_by = NULL, lease_until = NULL, session_id = NULL, progress = NULL,
    progress_message = NULL, delivery = CASE WHEN strpos(:told, notify) > 0 THEN 'pending' ELSE delivery END
WHERE id = :id AND status IN (:source, :source_too) AND (CAST(:claim_id AS text) IS NULL OR claim_id = :claim_id)
RETURNING {task};

UPDATE task SET
    status = 'queued', revision = revision + 1, attempt = attempt - :never_began, cause = NULL, detail = coalesce(:detail, detail), error = :error,
    summary = coalesce(:summary, summary), not_before_at = :not_before_at, seen_at = :at, started_at = NULL,
    claim_id = NULL, claimed_by = NULL, lease_until = NULL, session_id = NULL, progress = NULL,
    progress_message = NULL, delivery = CASE WHEN instr(:told, notify) THEN 'pending' ELSE delivery END
WHERE id = :id AND status IN (:source, :source_too) AND (:claim_id IS NULL OR claim_id = :claim_id);

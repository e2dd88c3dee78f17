UPDATE task SET
    status = :target, revision = revision + 1, cause = :cause, detail = coalesce(:detail, detail), error = :error,
    summary = coalesce(:summary, summary), ended_at = :at, seen_at = :at, lease_until = NULL,
    delivery = CASE WHEN instr(:told, notify) THEN 'pending' ELSE delivery END
WHERE id = :id AND status IN (:source, :source_too) AND (:claim_id IS NULL OR claim_id = :claim_id);

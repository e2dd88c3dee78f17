UPDATE task SET
    progress = coalesce(:progress, progress), progress_message = coalesce(:message, progress_message),
    seen_at = :now, revision = revision + 1
WHERE id = :id AND status = 'running' AND (:claim_id IS NULL OR claim_id = :claim_id);

UPDATE task SET
    progress = coalesce(CAST(:progress AS integer), progress), progress_message = coalesce(CAST(:message AS text), progress_message),
    seen_at = :now, revision = revision + 1
WHERE id = :id AND status = 'running' AND (CAST(:claim_id AS text) IS NULL OR claim_id = :claim_id)
RETURNING {task};

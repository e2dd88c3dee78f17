-- Who runs a flow that was blocked takes it up again for this: what it did may have to be undone.
UPDATE flow SET
    cancel_asked_at = :now, cancel_reason = :reason, cause = :cause, revision = revision + 1, updated_at = :now,
    nudges = nudges + 1,
    ready_at = CASE WHEN handler IS NULL OR status = 'running' THEN ready_at ELSE least(:now, ready_at) END,
    attempt = CASE WHEN status = 'blocked' AND handler IS NOT NULL THEN greatest(0, attempt - 1) ELSE attempt END,
    blocker = CASE WHEN status = 'blocked' AND handler IS NOT NULL THEN NULL ELSE blocker END,
    status = CASE WHEN status = 'blocked' AND handler IS NOT NULL THEN 'queued' ELSE status END
WHERE id = :id AND ended_at IS NULL AND cancel_asked_at IS NULL
RETURNING {flow};

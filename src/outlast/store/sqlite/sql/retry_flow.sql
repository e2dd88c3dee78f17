UPDATE flow SET
    status = 'queued', revision = revision + 1, updated_at = :now, attempt = 0, ready_at = :ready_at, nudges = 0,
    key_held = :key_held, wait = :wait, blocker = NULL, cause = NULL, error = NULL, result = NULL, ended_at = NULL,
    cancel_asked_at = NULL, cancel_reason = NULL, crashes = 0, crash_seq = 0
WHERE id = :id;

-- Nobody has to run code for it, and nothing it has begun is live.
UPDATE flow SET
    status = 'cancelled', revision = revision + 1, updated_at = :at, ended_at = :at, ready_at = NULL, nudges = 0,
    key_held = 0, wait = NULL, blocker = NULL,
    delivery = CASE WHEN strpos(:told, notify) > 0 THEN 'pending' ELSE delivery END
WHERE id = :id AND ended_at IS NULL AND cancel_asked_at IS NOT NULL
    AND (handler IS NULL OR (status = 'queued' AND started_at IS NULL))
    AND NOT EXISTS (
        SELECT 1 FROM task WHERE task.flow_id = :id AND task.flow_id IS NOT NULL AND task.status IN ('queued', 'running')
    )
    AND NOT EXISTS (
        SELECT 1 FROM flow AS child
        WHERE child.parent_id = :id AND child.parent_id IS NOT NULL AND child.ended_at IS NULL
    )
RETURNING {flow};

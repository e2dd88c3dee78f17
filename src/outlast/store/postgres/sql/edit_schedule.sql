-- A firing leaves the revision as it is. Whoever did not see it must not put the cursor back behind it.
UPDATE schedule SET
    name = :name, updated_at = :updated_at, kind = :kind, expr = :expr, payload = :payload,
    conversation = :conversation, tz = :tz, anchor_at = :anchor_at, misfire = :misfire, misfire_max = :misfire_max,
    overlap = :overlap, jitter_seconds = :jitter_seconds, retries = :retries, timeout_seconds = :timeout_seconds,
    deliver = :deliver, channel = :channel, comment = :comment, delete_after_run = :delete_after_run,
    paused_at = :paused_at, disabled_at = :disabled_at, disabled_why = :disabled_why, next_at = :next_at,
    next_fire_at = :next_fire_at, failures = :failures, revision = revision + 1
WHERE id = :id AND revision = :revision AND last_at IS NOT DISTINCT FROM :last_at
RETURNING id;

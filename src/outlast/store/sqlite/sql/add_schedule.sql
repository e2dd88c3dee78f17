INSERT INTO schedule (
    id, name, requester, created_at, updated_at, kind, expr, payload, revision, conversation, tz, anchor_at,
    misfire, misfire_max, overlap, jitter_seconds, retries, timeout_seconds, deliver, channel, comment,
    delete_after_run, paused_at, disabled_at, disabled_why, next_at, next_fire_at, last_at, failures
) VALUES (
    :id, :name, :requester, :created_at, :updated_at, :kind, :expr, :payload, :revision, :conversation, :tz,
    :anchor_at, :misfire, :misfire_max, :overlap, :jitter_seconds, :retries, :timeout_seconds, :deliver, :channel,
    :comment, :delete_after_run, :paused_at, :disabled_at, :disabled_why, :next_at, :next_fire_at, :last_at,
    :failures
);

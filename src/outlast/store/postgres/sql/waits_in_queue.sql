-- Asked for when a conversation has become free: that it was asked wakes whoever holds what waits there.
SELECT id FROM task
WHERE status = 'queued' AND not_before_at IS NULL AND queue = :queue LIMIT 1;

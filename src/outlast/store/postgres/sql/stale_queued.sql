-- Work that is held for an answer (see HELD_UNTIL) is not late.
SELECT {task} FROM task
WHERE status = 'queued' AND created_at < :before AND (not_before_at IS NULL OR not_before_at < 253402300799)
ORDER BY created_at, id LIMIT :limit;

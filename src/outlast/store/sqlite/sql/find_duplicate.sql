SELECT {task} FROM task
WHERE dedupe_key = :dedupe_key AND dedupe_key IS NOT NULL AND status IN ('queued', 'running');

SELECT id FROM task WHERE schedule_id = :schedule_id AND schedule_id IS NOT NULL AND status IN ('queued', 'running')
ORDER BY created_at, id;

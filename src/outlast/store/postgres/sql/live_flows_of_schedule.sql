SELECT id FROM flow WHERE schedule_id = :schedule_id AND schedule_id IS NOT NULL AND ended_at IS NULL
ORDER BY created_at, id;

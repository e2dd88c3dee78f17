SELECT id FROM beat INDEXED BY beat_open WHERE ended_at IS NULL AND agent = :agent LIMIT 1;

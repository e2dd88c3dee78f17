SELECT id FROM beat WHERE ended_at IS NULL AND agent = :agent LIMIT 1;

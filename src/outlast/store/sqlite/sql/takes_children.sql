SELECT id FROM flow WHERE id = :id AND ended_at IS NULL AND cancel_asked_at IS NULL;

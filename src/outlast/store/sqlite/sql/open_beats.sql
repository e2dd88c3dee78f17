SELECT {beat} FROM beat INDEXED BY beat_open WHERE ended_at IS NULL ORDER BY id LIMIT :limit;

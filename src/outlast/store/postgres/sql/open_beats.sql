SELECT {beat} FROM beat WHERE ended_at IS NULL ORDER BY id LIMIT :limit;

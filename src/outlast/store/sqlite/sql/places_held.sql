SELECT count(*) FROM flow INDEXED BY flow_places
WHERE concurrency_key = :key AND concurrency_key IS NOT NULL AND key_held = 1 AND ended_at IS NULL;

SELECT {flow} FROM flow
WHERE ended_at IS NOT NULL AND ended_at < :before
ORDER BY ended_at, id LIMIT :limit;

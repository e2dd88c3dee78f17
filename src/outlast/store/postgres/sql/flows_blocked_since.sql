SELECT {flow} FROM flow
WHERE status = 'blocked' AND updated_at < :before
ORDER BY updated_at, id LIMIT :limit;

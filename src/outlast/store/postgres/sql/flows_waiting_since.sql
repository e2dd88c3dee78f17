SELECT {flow} FROM flow
WHERE status = 'waiting' AND ready_at IS NULL AND updated_at < :before
ORDER BY updated_at, id LIMIT :limit;

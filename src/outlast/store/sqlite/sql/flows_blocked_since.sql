SELECT {flow} FROM flow INDEXED BY flow_blocked
WHERE status = 'blocked' AND updated_at < :before
ORDER BY updated_at, id LIMIT :limit;

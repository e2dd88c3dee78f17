SELECT {flow} FROM flow INDEXED BY flow_waiting
WHERE status = 'waiting' AND ready_at IS NULL AND updated_at < :before
ORDER BY updated_at, id LIMIT :limit;

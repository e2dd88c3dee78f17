SELECT {flow} FROM flow INDEXED BY flow_cancelling
WHERE ended_at IS NULL AND cancel_asked_at IS NOT NULL AND cancel_asked_at < :before
ORDER BY cancel_asked_at, id LIMIT :limit;

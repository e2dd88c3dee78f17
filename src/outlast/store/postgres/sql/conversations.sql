SELECT
    conversation, sum(CASE WHEN acked_at IS NULL THEN 1 ELSE 0 END),
    min(CASE WHEN acked_at IS NULL THEN at END), max(at)
FROM system_event WHERE conversation > :after GROUP BY conversation ORDER BY conversation LIMIT :limit;

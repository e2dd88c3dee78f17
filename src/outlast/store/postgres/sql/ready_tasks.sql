-- Work that anybody may take.
SELECT priority, created_at, id FROM task
WHERE status = 'queued' AND not_before_at IS NULL AND queue = :queue AND node IS NULL
ORDER BY priority DESC, created_at, id
LIMIT :limit;

-- Work that is kept for one node.
SELECT priority, created_at, id FROM task
WHERE status = 'queued' AND not_before_at IS NULL AND queue = :queue AND node = :node
ORDER BY priority DESC, created_at, id
LIMIT :limit;

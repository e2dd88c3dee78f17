-- Whether new work may be claimed at once: its queue has room and nothing that goes before it waits there.
SELECT 1
WHERE NOT EXISTS (
    SELECT 1 FROM queue
    WHERE name = :queue
        AND limit_max <= (SELECT count(*) FROM task WHERE status = 'running' AND queue = :queue)
) AND NOT EXISTS (
    SELECT 1 FROM task
    WHERE status = 'queued' AND not_before_at IS NULL AND queue = :queue AND node IS NULL AND priority >= :priority
        AND (priority > :priority OR (created_at, id) < (:created_at, :id))
) AND NOT EXISTS (
    SELECT 1 FROM task
    WHERE status = 'queued' AND not_before_at IS NULL AND queue = :queue AND node = :node AND priority >= :priority
        AND (priority > :priority OR (created_at, id) < (:created_at, :id))
);

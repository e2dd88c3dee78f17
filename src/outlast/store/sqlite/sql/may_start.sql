-- The guard of start_task, asked for before it: an insert that reads its own table would be built in memory first.
-- New work may start when its queue has room, and nothing that goes before it waits there for anybody, for its
-- node, or for a moment that has come.
SELECT 1
WHERE NOT EXISTS (
    SELECT 1 FROM queue
    WHERE name = :queue
        AND limit_max <= (SELECT count(*) FROM task INDEXED BY task_running WHERE status = 'running' AND queue = :queue)
) AND NOT EXISTS (
    SELECT 1 FROM task INDEXED BY task_ready
    WHERE status = 'queued' AND not_before_at IS NULL AND queue = :queue AND node IS NULL AND priority >= :priority
        AND (priority > :priority OR (created_at, id) < (:created_at, :id))
) AND NOT EXISTS (
    SELECT 1 FROM task INDEXED BY task_ready
    WHERE status = 'queued' AND not_before_at IS NULL AND queue = :queue AND node = :node AND priority >= :priority
        AND (priority > :priority OR (created_at, id) < (:created_at, :id))
) AND NOT EXISTS (
    SELECT 1 FROM task INDEXED BY task_delayed
    WHERE status = 'queued' AND not_before_at IS NOT NULL AND not_before_at <= :created_at AND queue = :queue
        AND (node IS NULL OR node = :node) AND priority >= :priority
        AND (priority > :priority OR (created_at, id) < (:created_at, :id))
);

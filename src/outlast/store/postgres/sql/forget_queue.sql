DELETE FROM queue
WHERE name = :name AND NOT EXISTS (
    SELECT 1 FROM task
    WHERE conversation = :conversation AND conversation IS NOT NULL AND status IN ('queued', 'running')
);

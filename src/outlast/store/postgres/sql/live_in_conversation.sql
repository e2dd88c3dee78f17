SELECT id FROM task
WHERE conversation = :conversation AND conversation IS NOT NULL AND status IN ('queued', 'running') LIMIT :limit;

DELETE FROM queue
WHERE name = :name AND NOT EXISTS (
    SELECT 1 FROM task INDEXED BY task_conversation_live
    WHERE conversation = :conversation AND conversation IS NOT NULL AND status IN ('queued', 'running')
);

-- The turn that runs in a conversation, and whether somebody wants it to end.
SELECT id, cancel_asked_at FROM task
WHERE conversation = :conversation AND conversation IS NOT NULL AND status IN ('queued', 'running')
    AND status = 'running' AND (runtime = 'subagent' OR runtime = 'acp')
LIMIT 1;

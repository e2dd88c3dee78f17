-- A live turn that stands in another queue than the others of its conversation: the first one, as a rule, for which the
-- conversation was made.
SELECT id FROM task INDEXED BY task_conversation_live
WHERE conversation = :conversation AND conversation IS NOT NULL AND status IN ('queued', 'running')
    AND (runtime = 'subagent' OR runtime = 'acp') AND queue <> :queue
LIMIT 1;

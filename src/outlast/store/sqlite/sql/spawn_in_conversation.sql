-- What a conversation was made for, while it is live: it stands in no queue of the conversation.
SELECT id FROM task INDEXED BY task_conversation_live
WHERE conversation = :conversation AND conversation IS NOT NULL AND status IN ('queued', 'running') AND kind = 'spawn'
LIMIT 1;

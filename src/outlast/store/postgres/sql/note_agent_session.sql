UPDATE agent_conversation
SET agent_session = :agent_session, updated_at = greatest(updated_at, :now), turns = turns + 1
WHERE key = :key;

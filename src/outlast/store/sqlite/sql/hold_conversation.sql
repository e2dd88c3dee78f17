INSERT INTO agent_conversation (
    key, agent, created_at, updated_at, workdir, agent_session, parent, depth, turns
)
VALUES (:key, :agent, :created_at, :updated_at, :workdir, :agent_session, :parent, :depth, :turns)
ON CONFLICT (key) DO UPDATE SET updated_at = excluded.updated_at
WHERE excluded.updated_at > agent_conversation.updated_at;

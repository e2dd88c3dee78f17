INSERT INTO agent_conversation (
    key, agent, created_at, updated_at, workdir, agent_session, parent, depth, turns
)
VALUES (:key, :agent, :created_at, :updated_at, :workdir, :agent_session, :parent, :depth, :turns)
ON CONFLICT (key) DO NOTHING;

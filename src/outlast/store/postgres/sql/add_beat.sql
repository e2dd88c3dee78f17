INSERT INTO beat (agent, at, why, outcome, reason, session_id, ended_at, text)
VALUES (:agent, :at, :why, :outcome, :reason, :session_id, :ended_at, :text)
RETURNING id;

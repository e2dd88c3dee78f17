INSERT INTO beat (agent, at, why, outcome, reason, session_id, ended_at, text, lease_until)
VALUES (:agent, :at, :why, :outcome, :reason, :session_id, :ended_at, :text, :lease_until);

UPDATE beat SET outcome = :outcome, reason = :reason, text = :text, ended_at = :now
WHERE id = :id AND ended_at IS NULL
RETURNING id;

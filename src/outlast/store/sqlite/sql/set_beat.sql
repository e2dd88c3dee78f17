INSERT INTO heartbeat (agent, next_at, paused_at, last_at, last_text_hash, last_text_at)
SELECT :agent, :next_at, :paused_at, :last_at, :last_text_hash, :last_text_at
WHERE :expected_next IS NULL OR EXISTS (SELECT 1 FROM heartbeat WHERE agent = :agent)
ON CONFLICT (agent) DO UPDATE SET
    next_at = excluded.next_at, paused_at = excluded.paused_at, last_at = excluded.last_at,
    last_text_hash = excluded.last_text_hash, last_text_at = excluded.last_text_at
WHERE heartbeat.next_at IS :expected_next
RETURNING agent;

INSERT INTO heartbeat (agent, next_at, paused_at, last_at, last_text_hash, last_text_at)
SELECT
    CAST(:agent AS text), CAST(:next_at AS double precision), CAST(:paused_at AS double precision),
    CAST(:last_at AS double precision), CAST(:last_text_hash AS text), CAST(:last_text_at AS double precision)
WHERE CAST(:expected_next AS double precision) IS NULL OR EXISTS (SELECT 1 FROM heartbeat WHERE agent = :agent)
ON CONFLICT (agent) DO UPDATE SET
    next_at = excluded.next_at, paused_at = excluded.paused_at, last_at = excluded.last_at,
    last_text_hash = excluded.last_text_hash, last_text_at = excluded.last_text_at
WHERE heartbeat.next_at IS NOT DISTINCT FROM CAST(:expected_next AS double precision)
RETURNING agent;

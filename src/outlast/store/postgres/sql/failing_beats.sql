-- The newest beat of each agent that is to have beats, where it and the two before it have failed.
SELECT {beat} FROM beat
WHERE id IN (
    SELECT (
        SELECT ended.id FROM beat AS ended
        WHERE ended.agent = heartbeat.agent AND ended.outcome <> 'skipped' AND ended.ended_at IS NOT NULL
        ORDER BY ended.at DESC LIMIT 1
    )
    FROM heartbeat
    WHERE heartbeat.paused_at IS NULL AND 3 = (
        SELECT count(*) FROM (
            SELECT ended.outcome FROM beat AS ended
            WHERE ended.agent = heartbeat.agent AND ended.outcome <> 'skipped' AND ended.ended_at IS NOT NULL
            ORDER BY ended.at DESC LIMIT 3
        ) AS last
        WHERE last.outcome = 'failed'
    )
)
ORDER BY at, id LIMIT :limit;

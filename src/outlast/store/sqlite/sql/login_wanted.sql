-- The newest turn of each agent that says whether it is logged in, where it says no and no beat has gone well since.
WITH RECURSIVE name (agent) AS (
    SELECT min(json_extract(task.ask, '$.agent')) FROM task INDEXED BY task_agent
    WHERE (task.runtime = 'subagent' OR task.runtime = 'acp')
        AND (task.status = 'succeeded' OR instr(task.detail, '"stop":"login_wanted"') > 0)
    UNION ALL
    SELECT (
        SELECT min(json_extract(task.ask, '$.agent')) FROM task INDEXED BY task_agent
        WHERE (task.runtime = 'subagent' OR task.runtime = 'acp')
            AND (task.status = 'succeeded' OR instr(task.detail, '"stop":"login_wanted"') > 0)
            AND json_extract(task.ask, '$.agent') > name.agent
    )
    FROM name WHERE name.agent IS NOT NULL
),
newest (id) AS (
    SELECT (
        SELECT task.id FROM task INDEXED BY task_agent
        WHERE (task.runtime = 'subagent' OR task.runtime = 'acp')
            AND (task.status = 'succeeded' OR instr(task.detail, '"stop":"login_wanted"') > 0)
            AND json_extract(task.ask, '$.agent') = name.agent
        ORDER BY task.ended_at DESC LIMIT 1
    )
    FROM name WHERE name.agent IS NOT NULL
)
SELECT {task} FROM task
WHERE id IN (SELECT id FROM newest) AND instr(detail, '"stop":"login_wanted"') > 0 AND dismissed_at IS NULL
    AND NOT EXISTS (
        SELECT 1 FROM beat
        WHERE beat.agent = json_extract(task.ask, '$.agent') AND beat.at > task.ended_at AND beat.outcome <> 'skipped'
            AND (beat.outcome = 'silent' OR beat.outcome = 'told')
    )
ORDER BY ended_at, id LIMIT :limit;

-- Turns of agents are looked at by silent_agents.
SELECT {task} FROM task INDEXED BY task_running
WHERE status = 'running' AND seen_at < :before AND runtime <> 'subagent' AND runtime <> 'acp'
ORDER BY seen_at, id LIMIT :limit;

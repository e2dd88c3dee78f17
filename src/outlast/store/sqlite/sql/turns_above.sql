-- How many turns of agents stand above work, each asked for from within the next: its parent, that one's, and so on.
WITH RECURSIVE above (parent_id, turn, step) AS (
    SELECT task.parent_id, task.runtime IN ('subagent', 'acp'), 1 FROM task WHERE task.id = :task_id
    UNION ALL
    SELECT task.parent_id, task.runtime IN ('subagent', 'acp'), above.step + 1
    FROM above CROSS JOIN task ON task.id = above.parent_id WHERE above.step < :steps_max
)
SELECT coalesce(sum(turn), 0) FROM above;

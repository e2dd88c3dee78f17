-- What is held for an answer (see HELD_UNTIL) does not become due.
SELECT min(due) FROM (
    SELECT min(not_before_at) AS due FROM task INDEXED BY task_delayed
    WHERE status = 'queued' AND not_before_at IS NOT NULL AND not_before_at < 253402300799
    UNION ALL
    SELECT min(deadline_at) FROM task INDEXED BY task_deadline
    WHERE status IN ('queued', 'running') AND deadline_at IS NOT NULL
    UNION ALL
    SELECT min(lease_until) FROM task INDEXED BY task_running WHERE status = 'running'
);

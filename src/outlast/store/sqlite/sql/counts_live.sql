-- By the indexes of live work only: history may be as long as it likes.
SELECT 'queued', (
    SELECT count(*) FROM task INDEXED BY task_ready WHERE status = 'queued' AND not_before_at IS NULL
) + (
    SELECT count(*) FROM task INDEXED BY task_delayed WHERE status = 'queued' AND not_before_at IS NOT NULL
)
UNION ALL
SELECT 'running', (SELECT count(*) FROM task INDEXED BY task_running WHERE status = 'running');

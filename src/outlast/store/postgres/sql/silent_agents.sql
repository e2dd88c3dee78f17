-- Who waits for leave has said so: that is another finding.
SELECT {task} FROM task
WHERE status = 'running' AND seen_at < :before AND (runtime = 'subagent' OR runtime = 'acp')
    AND NOT EXISTS (
        SELECT 1 FROM approval
        WHERE approval.task_id = task.id AND approval.task_id IS NOT NULL AND approval.status = 'pending'
            AND approval.kind = 'acp'
    )
ORDER BY seen_at, id LIMIT :limit;

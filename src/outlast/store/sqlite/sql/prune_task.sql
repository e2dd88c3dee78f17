DELETE FROM task
WHERE id = :id AND status NOT IN ('queued', 'running')
    AND NOT EXISTS (SELECT 1 FROM outbox WHERE task_id = :id AND state = 'pending')
    AND NOT EXISTS (
        SELECT 1 FROM flow_step JOIN flow ON flow.id = flow_step.flow_id AND flow.ended_at IS NULL
        WHERE flow_step.ref = :id AND flow_step.ref IS NOT NULL AND flow_step.status = 'running'
    )
RETURNING id;

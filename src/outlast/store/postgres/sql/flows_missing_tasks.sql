-- Steps that are under way and wait for what is not there: the index holds no others.
SELECT {step} FROM flow_step
WHERE ref IS NOT NULL AND status = 'running' AND kind IN ('run', 'agent')
    AND NOT EXISTS (SELECT 1 FROM task WHERE task.id = flow_step.ref)
    AND EXISTS (SELECT 1 FROM flow WHERE flow.id = flow_step.flow_id AND flow.ended_at IS NULL)
LIMIT :limit;

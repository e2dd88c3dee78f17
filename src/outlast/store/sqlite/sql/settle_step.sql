UPDATE flow_step INDEXED BY flow_step_ref SET status = :status, ended_at = :at, result = :result, error = :error
WHERE ref = :ref AND status = 'running' AND flow_id = :flow_id
RETURNING ref;

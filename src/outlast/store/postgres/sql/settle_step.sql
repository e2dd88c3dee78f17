UPDATE flow_step SET status = new.status, ended_at = new.at, result = new.result, error = new.error
FROM json_to_recordset(:rows) AS new (
    ref text, flow_id text, status text, at double precision, result text, error text
)
WHERE flow_step.ref = new.ref AND flow_step.status = 'running' AND flow_step.flow_id = new.flow_id
RETURNING flow_step.ref;

-- Each step is looked for by what it waits for, and then written by its key: so no plan walks all that wait.
WITH found AS MATERIALIZED (
    SELECT new.*, (
        SELECT flow_step.key FROM flow_step
        WHERE flow_step.ref = new.ref AND flow_step.status = 'running' AND flow_step.flow_id = new.flow_id
        LIMIT 1
    ) AS key
    FROM json_to_recordset(:rows) AS new (
        ref text, flow_id text, status text, at double precision, result text, error text
    )
)
UPDATE flow_step SET status = found.status, ended_at = found.at, result = found.result, error = found.error
FROM found
WHERE flow_step.flow_id = found.flow_id AND flow_step.key = found.key
RETURNING found.ref;

INSERT INTO flow_event (flow_id, at, verb, status, step, data)
SELECT flow_id, at, verb, status, step, data
FROM json_to_recordset(:rows) AS new (
    flow_id text, at double precision, verb text, status text, step text, data text
);

INSERT INTO event (task_id, at, verb, status, cause, data)
SELECT task_id, at, verb, status, cause, data
FROM json_to_recordset(:rows) AS new (
    task_id text, at double precision, verb text, status text, cause text, data text
)
RETURNING id;

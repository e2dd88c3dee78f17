DELETE FROM payload USING json_to_recordset(:rows) AS old (task_id text)
WHERE payload.task_id = old.task_id;

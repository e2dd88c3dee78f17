INSERT INTO payload (task_id, body)
SELECT task_id, body FROM json_to_recordset(:rows) AS new (task_id text, body text);

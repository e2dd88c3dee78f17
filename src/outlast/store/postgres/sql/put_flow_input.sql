INSERT INTO flow_input (flow_id, body)
SELECT flow_id, body FROM json_to_recordset(:rows) AS new (flow_id text, body text);

INSERT INTO flow_input (flow_id, body) VALUES (:flow_id, :body);

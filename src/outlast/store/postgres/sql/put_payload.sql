INSERT INTO payload (task_id, body) VALUES (:task_id, :body);

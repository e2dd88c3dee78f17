INSERT INTO event (task_id, at, verb, status, cause, data)
VALUES (:task_id, :at, :verb, :status, :cause, :data);

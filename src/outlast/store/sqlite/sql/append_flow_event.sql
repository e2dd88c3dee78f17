INSERT INTO flow_event (flow_id, at, verb, status, step, data)
VALUES (:flow_id, :at, :verb, :status, :step, :data);

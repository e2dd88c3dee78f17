INSERT INTO flow_input (flow_id, body) SELECT CAST(:new_id AS text), body FROM flow_input WHERE flow_id = :flow_id;

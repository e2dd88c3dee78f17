INSERT INTO flow_input (flow_id, body) SELECT :new_id, body FROM flow_input WHERE flow_id = :flow_id;

DELETE FROM flow_input WHERE flow_id = :flow_id;

DELETE FROM flow_step WHERE flow_id = :flow_id;

DELETE FROM flow_event WHERE flow_id = :flow_id;

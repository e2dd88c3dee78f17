DELETE FROM flow_signal WHERE flow_id = :flow_id;

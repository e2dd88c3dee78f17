DELETE FROM approval WHERE flow_id = :flow_id RETURNING id;

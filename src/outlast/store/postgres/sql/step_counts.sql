SELECT count(*) FILTER (WHERE status = 'succeeded'), count(*) FROM flow_step WHERE flow_id = :flow_id;

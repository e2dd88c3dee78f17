SELECT kind, ref FROM flow_step WHERE flow_id = :flow_id AND status = 'running' AND ref IS NOT NULL;

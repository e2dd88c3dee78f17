SELECT {flow_event} FROM flow_event WHERE flow_id = :flow_id AND id > :after ORDER BY id LIMIT :limit;

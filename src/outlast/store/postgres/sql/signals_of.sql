SELECT {signal} FROM flow_signal WHERE flow_id = :flow_id ORDER BY id LIMIT :limit;

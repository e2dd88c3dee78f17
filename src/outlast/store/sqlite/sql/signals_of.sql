SELECT {signal} FROM flow_signal INDEXED BY flow_signal_flow WHERE flow_id = :flow_id ORDER BY id LIMIT :limit;

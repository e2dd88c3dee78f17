SELECT {signal} FROM flow_signal WHERE flow_id = :flow_id AND source_key = :source_key;

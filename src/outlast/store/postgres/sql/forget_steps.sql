DELETE FROM flow_step WHERE flow_id = :flow_id AND (status <> 'succeeded' OR seq >= :from_seq);

UPDATE flow_signal SET step = NULL
WHERE flow_id = :flow_id AND step IN (
    SELECT key FROM flow_step WHERE flow_step.flow_id = :flow_id AND (status <> 'succeeded' OR seq >= :from_seq)
);

INSERT INTO flow_step (
    flow_id, key, seq, kind, status, attempt, started_at, ended_at, due_at, result, error, ref
)
SELECT :new_id, key, seq, kind, status, attempt, started_at, ended_at, due_at, result, error, ref
FROM flow_step WHERE flow_id = :flow_id AND seq < :from_seq AND status = 'succeeded'
    AND substr(key, 1, 11) <> 'compensate:';

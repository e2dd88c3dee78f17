-- What undoes a flow's steps just now.
SELECT ref FROM flow_step
WHERE flow_id = :flow_id AND status = 'running' AND ref IS NOT NULL AND substr(key, 1, 11) = 'compensate:';

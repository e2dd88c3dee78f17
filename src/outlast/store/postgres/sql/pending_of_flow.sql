SELECT id FROM approval
WHERE flow_id = :flow_id AND flow_id IS NOT NULL AND status = 'pending';

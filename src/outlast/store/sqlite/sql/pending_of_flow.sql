SELECT id FROM approval INDEXED BY approval_pending
WHERE flow_id = :flow_id AND flow_id IS NOT NULL AND status = 'pending';

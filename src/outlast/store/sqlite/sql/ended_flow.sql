SELECT {flow}, EXISTS (SELECT 1 FROM approval WHERE flow_id = :id AND flow_id IS NOT NULL AND status = 'pending')
FROM flow WHERE id = :id;

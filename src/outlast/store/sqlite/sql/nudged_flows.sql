SELECT id FROM flow INDEXED BY flow_nudged WHERE claimed_by = :worker AND status = 'running' AND nudges > 0;

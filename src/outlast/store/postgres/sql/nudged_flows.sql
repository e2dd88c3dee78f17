SELECT id FROM flow WHERE claimed_by = :worker AND status = 'running' AND nudges > 0;

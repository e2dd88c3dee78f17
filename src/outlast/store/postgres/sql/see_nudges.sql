UPDATE flow SET nudges = 0 WHERE id = :id AND claim_id = :claim_id AND nudges > 0;

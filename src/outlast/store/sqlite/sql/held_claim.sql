SELECT 1 FROM flow INDEXED BY flow_claim WHERE claim_id = :claim_id AND id = :flow_id;

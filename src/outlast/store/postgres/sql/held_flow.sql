SELECT {flow} FROM flow WHERE id = :id AND claim_id = :claim_id;

DELETE FROM flow_worker WHERE id = :id;

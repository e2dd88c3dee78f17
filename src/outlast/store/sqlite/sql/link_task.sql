UPDATE task SET flow_id = :flow_id, revision = revision + 1 WHERE id = :id;

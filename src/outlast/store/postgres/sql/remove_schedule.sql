DELETE FROM schedule WHERE id = :id RETURNING id;

SELECT {outbox} FROM outbox WHERE id = :id;

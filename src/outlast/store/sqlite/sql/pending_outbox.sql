SELECT {outbox} FROM outbox WHERE state = 'pending' AND id > :after ORDER BY id LIMIT :limit;

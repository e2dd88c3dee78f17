SELECT {outbox} FROM outbox WHERE state = 'parked' AND id < :before ORDER BY id DESC LIMIT :limit;

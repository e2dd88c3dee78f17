SELECT {outbox} FROM outbox WHERE state = 'pending' AND target = :target ORDER BY id LIMIT :limit;

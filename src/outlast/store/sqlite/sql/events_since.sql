SELECT {event} FROM event WHERE id > :after ORDER BY id LIMIT :limit;

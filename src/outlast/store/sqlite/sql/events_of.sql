SELECT {event} FROM event WHERE task_id = :task_id AND id > :after ORDER BY id LIMIT :limit;

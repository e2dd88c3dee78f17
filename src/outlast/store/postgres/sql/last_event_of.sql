SELECT max(id) FROM event WHERE task_id = :task_id;

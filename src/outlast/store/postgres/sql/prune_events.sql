DELETE FROM event WHERE task_id = :task_id;

DELETE FROM payload WHERE task_id = :task_id;

DELETE FROM outbox WHERE task_id = :task_id;

SELECT id FROM approval WHERE task_id = :task_id AND task_id IS NOT NULL AND status = 'pending';

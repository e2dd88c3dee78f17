SELECT {outbox} FROM outbox
WHERE task_id = :task_id AND state = 'pending' AND target = :target ORDER BY id;

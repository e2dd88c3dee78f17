SELECT 'event ' || event.id || ' belongs to no task (' || event.task_id || ')' FROM event
WHERE NOT EXISTS (SELECT 1 FROM task WHERE task.id = event.task_id)
UNION ALL
SELECT 'notice ' || outbox.id || ' belongs to no task (' || outbox.task_id || ')' FROM outbox
WHERE NOT EXISTS (SELECT 1 FROM task WHERE task.id = outbox.task_id)
UNION ALL
SELECT 'payload belongs to no task (' || payload.task_id || ')' FROM payload
WHERE NOT EXISTS (SELECT 1 FROM task WHERE task.id = payload.task_id)
LIMIT 20;

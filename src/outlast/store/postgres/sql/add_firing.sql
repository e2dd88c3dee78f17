INSERT INTO firing (schedule_id, instant, at, how, task_id, note)
VALUES (:schedule_id, :instant, :at, :how, :task_id, :note);

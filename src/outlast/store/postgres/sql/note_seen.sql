UPDATE task SET seen_at = greatest(task.seen_at, new.now)
FROM json_to_recordset(:rows) AS new (id text, now double precision)
WHERE task.id = new.id AND task.status = 'running'
RETURNING task.id;

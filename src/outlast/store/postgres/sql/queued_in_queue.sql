SELECT queue, count(*) FROM task WHERE status = 'queued' GROUP BY queue;

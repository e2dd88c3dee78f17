SELECT queue, count(*) FROM task WHERE status = 'running' GROUP BY queue;

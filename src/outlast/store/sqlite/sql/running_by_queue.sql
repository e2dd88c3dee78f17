SELECT queue, count(*) FROM task INDEXED BY task_running WHERE status = 'running' GROUP BY queue;

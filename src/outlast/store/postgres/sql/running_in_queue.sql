SELECT count(*) FROM task WHERE status = 'running' AND queue = :queue;

SELECT {task} FROM task WHERE delivery = 'failed' ORDER BY id LIMIT :limit;

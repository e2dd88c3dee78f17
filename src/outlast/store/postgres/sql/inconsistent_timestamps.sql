SELECT {task} FROM task
WHERE started_at < created_at OR ended_at < created_at OR ended_at < started_at
ORDER BY id LIMIT :limit;

SELECT {task} FROM task
WHERE {where}
ORDER BY created_at DESC, id DESC
LIMIT :limit;

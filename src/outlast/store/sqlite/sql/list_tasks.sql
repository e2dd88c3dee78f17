SELECT {task} FROM task INDEXED BY {index}
WHERE {where}
ORDER BY created_at DESC, id DESC
LIMIT :limit;

SELECT {approval} FROM approval INDEXED BY {index}
WHERE {where}
ORDER BY created_at DESC, id DESC
LIMIT :limit;

SELECT {flow} FROM flow INDEXED BY {index}
WHERE {where}
ORDER BY created_at DESC, id DESC
LIMIT :limit;

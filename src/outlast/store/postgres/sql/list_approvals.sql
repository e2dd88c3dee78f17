SELECT {approval} FROM approval
WHERE {where}
ORDER BY created_at DESC, id DESC
LIMIT :limit;

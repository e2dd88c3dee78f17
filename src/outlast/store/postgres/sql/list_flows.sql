SELECT {flow} FROM flow
WHERE {where}
ORDER BY created_at DESC, id DESC
LIMIT :limit;

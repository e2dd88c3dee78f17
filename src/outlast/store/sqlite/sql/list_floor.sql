-- Where the window of a text search ends.
SELECT created_at, id FROM task INDEXED BY {index}
WHERE {where}
ORDER BY created_at DESC, id DESC
LIMIT 1 OFFSET :window;

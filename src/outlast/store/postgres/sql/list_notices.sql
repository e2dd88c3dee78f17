SELECT {outbox} FROM outbox
WHERE id < :before AND (CAST(:state AS text) IS NULL OR state = CAST(:state AS text))
    AND (CAST(:target AS text) IS NULL OR target = CAST(:target AS text))
ORDER BY id DESC LIMIT :limit;

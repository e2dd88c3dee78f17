SELECT {approval} FROM approval INDEXED BY approval_parked
WHERE status = 'pending' AND kind = 'acp' AND created_at < :before
ORDER BY created_at, id LIMIT :limit;

SELECT priority, ready_at, id, status, claimed_by FROM flow
WHERE handler = :handler AND priority = :priority AND ready_at IS NOT NULL AND ready_at <= :now
ORDER BY ready_at, id LIMIT :limit;

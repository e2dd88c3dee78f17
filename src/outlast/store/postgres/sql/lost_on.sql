SELECT {task} FROM task
WHERE status = 'lost' AND cause = 'lease_expired' AND node = :node AND id > :after
ORDER BY id LIMIT :limit;

-- Pending as long as one notice is, failed as soon as one was given up, else delivered if one was.
UPDATE flow SET delivery = (
    SELECT CASE
        WHEN sum(state = 'pending') > 0 THEN 'pending'
        WHEN sum(state = 'parked') > 0 THEN 'failed'
        WHEN sum(state = 'delivered') > 0 THEN 'delivered'
        ELSE 'not_needed'
    END
    FROM outbox WHERE task_id = :id
)
WHERE id = :id;

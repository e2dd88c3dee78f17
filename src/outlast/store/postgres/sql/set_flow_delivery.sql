-- Pending as long as one notice is, failed as soon as one was given up, else delivered if one was.
UPDATE flow SET delivery = (
    SELECT CASE
        WHEN bool_or(state = 'pending') THEN 'pending'
        WHEN bool_or(state = 'parked') THEN 'failed'
        WHEN bool_or(state = 'delivered') THEN 'delivered'
        ELSE 'not_needed'
    END
    FROM outbox WHERE task_id = :id
)
WHERE id = :id;

-- When the first of the oldest notices of all targets is due, of those that are not due by that moment.
WITH RECURSIVE name (target) AS (
    SELECT min(target) FROM outbox WHERE state = 'pending'
    UNION ALL
    SELECT (SELECT min(later.target) FROM outbox AS later WHERE later.state = 'pending' AND later.target > name.target)
    FROM name WHERE name.target IS NOT NULL
)
SELECT min(outbox.next_at) FROM name
JOIN outbox ON outbox.id = (
    SELECT min(first.id) FROM outbox AS first WHERE first.state = 'pending' AND first.target = name.target
)
WHERE name.target IS NOT NULL AND outbox.next_at > :after;

-- The priorities of a handler's flows that may become ready, highest first, one index step for each.
WITH RECURSIVE level (priority) AS (
    SELECT max(priority) FROM flow WHERE handler = :handler AND ready_at IS NOT NULL
    UNION ALL
    SELECT (
        SELECT max(flow.priority) FROM flow
        WHERE flow.handler = :handler AND flow.ready_at IS NOT NULL AND flow.priority < level.priority
    )
    FROM level WHERE level.priority IS NOT NULL
)
SELECT priority FROM level WHERE priority IS NOT NULL;

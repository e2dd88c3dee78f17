-- The earliest moment after another among a handler's flows: of each priority the first.
WITH RECURSIVE level (priority) AS (
    SELECT max(priority) FROM flow INDEXED BY flow_ready WHERE handler = :handler AND ready_at IS NOT NULL
    UNION ALL
    SELECT (
        SELECT max(flow.priority) FROM flow INDEXED BY flow_ready
        WHERE flow.handler = :handler AND flow.ready_at IS NOT NULL AND flow.priority < level.priority
    )
    FROM level WHERE level.priority IS NOT NULL
)
SELECT min((
    SELECT min(next.ready_at) FROM flow AS next INDEXED BY flow_ready
    WHERE next.handler = :handler AND next.priority = level.priority AND next.ready_at IS NOT NULL
        AND next.ready_at > :after
)) FROM level WHERE level.priority IS NOT NULL;

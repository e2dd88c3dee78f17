-- The handlers that have flows which may become ready, one index step for each.
WITH RECURSIVE name (handler) AS (
    SELECT min(handler) FROM flow WHERE ready_at IS NOT NULL
    UNION ALL
    SELECT (
        SELECT min(flow.handler) FROM flow
        WHERE flow.ready_at IS NOT NULL AND flow.handler > name.handler
    )
    FROM name WHERE name.handler IS NOT NULL
)
SELECT handler FROM name WHERE handler IS NOT NULL;

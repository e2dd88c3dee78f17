-- The next queued flow of a key, if the key has room for it.
UPDATE flow SET
    key_held = 1, ready_at = max(:now, coalesce(json_extract(wait, '$.until'), :now)), wait = NULL,
    updated_at = :now
WHERE id = (
    SELECT next.id FROM flow AS next INDEXED BY flow_places
    WHERE next.concurrency_key = :key AND next.concurrency_key IS NOT NULL AND next.key_held = 0
        AND next.ended_at IS NULL AND next.status = 'queued'
    ORDER BY next.priority DESC, next.created_at, next.id LIMIT 1
) AND concurrency_max > (
    SELECT count(*) FROM flow AS held INDEXED BY flow_places
    WHERE held.concurrency_key = :key AND held.concurrency_key IS NOT NULL AND held.key_held = 1
        AND held.ended_at IS NULL
)
RETURNING id;

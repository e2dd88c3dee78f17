-- Numbered here, under the lock of writers: rows of many acts may be of one conversation.
INSERT INTO transcript (conversation, seq, at, kind, text, data, task_id, source_key, journal_at)
SELECT
    conversation,
    coalesce((SELECT max(old.seq) FROM transcript AS old WHERE old.conversation = new.conversation), 0)
        + row_number() OVER (PARTITION BY conversation ORDER BY place),
    at, kind, text, data, task_id, source_key, journal_at
FROM ROWS FROM (
    json_to_recordset(:rows) AS (
        conversation text, at double precision, kind text, text text, data text, task_id text, source_key text,
        journal_at bigint
    )
) WITH ORDINALITY AS new (conversation, at, kind, text, data, task_id, source_key, journal_at, place)
WHERE NOT EXISTS (SELECT 1 FROM transcript AS old WHERE old.source_key = new.source_key)
RETURNING source_key;

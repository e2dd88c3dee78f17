-- Live flows only: history may be as long as it likes.
SELECT 'queued', (SELECT count(*) FROM flow WHERE status = 'queued')
UNION ALL
SELECT 'running', (SELECT count(*) FROM flow WHERE status = 'running')
UNION ALL
SELECT 'waiting', (SELECT count(*) FROM flow WHERE status = 'waiting')
UNION ALL
SELECT 'blocked', (SELECT count(*) FROM flow WHERE status = 'blocked');

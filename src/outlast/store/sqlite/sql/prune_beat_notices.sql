DELETE FROM outbox WHERE task_id IN (SELECT 'beat:' || id FROM beat WHERE at < :before);

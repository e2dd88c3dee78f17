DELETE FROM approval
WHERE id IN (
    SELECT old.id FROM approval AS old INDEXED BY approval_decided
    WHERE old.decided_at IS NOT NULL AND old.decided_at < :before
        AND (old.flow_id IS NULL OR NOT EXISTS (SELECT 1 FROM flow WHERE flow.id = old.flow_id))
        AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.task_id = old.id AND outbox.state = 'pending')
)
RETURNING id;

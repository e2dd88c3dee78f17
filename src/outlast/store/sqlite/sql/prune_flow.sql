DELETE FROM flow
WHERE id = :id AND ended_at IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM outbox WHERE task_id = :id AND state = 'pending')
    AND NOT EXISTS (
        SELECT 1 FROM approval JOIN outbox ON outbox.task_id = approval.id AND outbox.state = 'pending'
        WHERE approval.flow_id = :id
    )
RETURNING id;

UPDATE task SET
    status = 'running', revision = task.revision + 1, attempt = task.attempt + 1, started_at = new.now,
    seen_at = new.now, claim_id = new.claim_id, claimed_by = new.worker, lease_until = new.lease_until,
    node = coalesce(new.node, task.node),
    delivery = CASE WHEN strpos(new.told, task.notify) > 0 THEN 'pending' ELSE task.delivery END
FROM json_to_recordset(:rows) AS new (
    id text, now double precision, claim_id text, worker text, lease_until double precision, node text, told text
)
WHERE task.id = new.id AND task.status = 'queued'
RETURNING {task.};

INSERT INTO flow_worker (id, node, pid, handlers, started_at, lease_until)
VALUES (:id, :node, :pid, :handlers, :started_at, :lease_until)
ON CONFLICT (id) DO UPDATE SET
    node = excluded.node, pid = excluded.pid, handlers = excluded.handlers, started_at = excluded.started_at,
    lease_until = excluded.lease_until;

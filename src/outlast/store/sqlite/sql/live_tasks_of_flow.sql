SELECT id FROM task INDEXED BY task_flow_live
WHERE flow_id = :flow_id AND flow_id IS NOT NULL AND status IN ('queued', 'running') LIMIT :limit;

-- A backoff that has passed makes its task ready; so the index of ready tasks holds nothing to skip.
UPDATE task INDEXED BY task_delayed SET not_before_at = NULL
WHERE status = 'queued' AND not_before_at IS NOT NULL AND not_before_at <= :now;

UPDATE task SET
    status = new.target, revision = task.revision + 1, cause = new.cause, detail = coalesce(new.detail, task.detail),
    error = new.error, summary = coalesce(new.summary, task.summary), ended_at = new.at, seen_at = new.at,
    lease_until = NULL, delivery = CASE WHEN strpos(new.told, task.notify) > 0 THEN 'pending' ELSE task.delivery END
FROM json_to_recordset(:rows) AS new (
    id text, source text, source_too text, claim_id text, target text, cause text, at double precision, detail text,
    error text, summary text, told text
)
WHERE task.id = new.id AND task.status IN (new.source, new.source_too)
    AND (new.claim_id IS NULL OR task.claim_id = new.claim_id)
RETURNING {task.};

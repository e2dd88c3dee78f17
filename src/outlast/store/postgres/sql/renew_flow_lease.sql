UPDATE flow SET
    lease_until = coalesce(new.until, flow.lease_until), ready_at = coalesce(new.until, flow.lease_until)
FROM json_to_recordset(:rows) AS new (claim_id text, until double precision, id text)
WHERE flow.claim_id = new.claim_id AND (new.id IS NULL OR flow.id = new.id)
RETURNING flow.claim_id;

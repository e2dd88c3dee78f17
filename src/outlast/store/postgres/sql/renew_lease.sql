-- Work without a lease (it runs outside of any worker) gets none by being renewed.
UPDATE task SET lease_until = CASE WHEN task.lease_until IS NULL THEN NULL ELSE new.until END
FROM json_to_recordset(:rows) AS new (claim_id text, until double precision)
WHERE task.claim_id = new.claim_id AND task.status = 'running'
RETURNING task.claim_id;

-- Work without a lease (it runs outside of any worker) gets none by being renewed.
UPDATE task SET lease_until = CASE WHEN lease_until IS NULL THEN NULL ELSE CAST(:until AS double precision) END
WHERE claim_id = :claim_id AND status = 'running'
RETURNING claim_id;

-- The last term is always true, and makes the planner take few rows for granted: so it goes by keys, however small
-- the table was when the plan was made.
UPDATE flow SET
    nudges = flow.nudges + 1, updated_at = new.now,
    ready_at = CASE
        WHEN flow.status = 'waiting' AND flow.handler IS NOT NULL THEN least(new.now, flow.ready_at)
        ELSE flow.ready_at
    END
FROM json_to_recordset(:rows) AS new (id text, now double precision)
WHERE flow.id = new.id AND flow.ended_at IS NULL AND new.id || '' = new.id
RETURNING flow.id;

-- Listings of spawned agents.
CREATE INDEX task_spawn ON task (created_at, id) WHERE kind = 'spawn';
CREATE INDEX task_spawn_of ON task (requester, created_at, id) WHERE kind = 'spawn';

-- How long others believe that a beat is in somebody's hands.
ALTER TABLE beat ADD COLUMN lease_until REAL;

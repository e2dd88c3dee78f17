-- Turns of agents that say whether their agent is logged in, by agent: a finding is made of the newest.
CREATE INDEX task_agent ON task ((substring(ask from '"agent":"([A-Za-z0-9_-]+)"') COLLATE "C"), ended_at)
    WHERE (runtime = 'subagent' OR runtime = 'acp')
        AND (status = 'succeeded' OR strpos(detail, '"stop":"login_wanted"') > 0);

-- What agents wait for leave for.
CREATE INDEX approval_parked ON approval (created_at, id) WHERE status = 'pending' AND kind = 'acp';

-- Times are seconds since the epoch (UTC). JSON columns hold text.

CREATE TABLE schema_version (
    number integer PRIMARY KEY,
    name text NOT NULL,
    checksum text NOT NULL
);

CREATE TABLE task (
    id text COLLATE "C" PRIMARY KEY,
    runtime text NOT NULL,
    kind text NOT NULL,
    source text NOT NULL,
    requester text NOT NULL,
    status text NOT NULL
        CHECK (status IN ('queued', 'running', 'succeeded', 'failed', 'timed_out', 'cancelled', 'lost')),
    created_at double precision NOT NULL,
    revision integer NOT NULL,
    ask text NOT NULL,
    detail text NOT NULL,
    cause text,
    conversation text,
    parent_id text,
    flow_id text,
    node text,
    label text,
    title text,
    attempt integer NOT NULL,
    attempts_max integer NOT NULL,
    retry text,
    progress integer CHECK (progress BETWEEN 0 AND 100),
    progress_message text,
    summary text,
    error text,
    notify text NOT NULL CHECK (notify IN ('done_only', 'state_changes', 'failures_only', 'silent')),
    delivery text NOT NULL CHECK (delivery IN ('not_needed', 'pending', 'delivered', 'failed')),
    priority integer NOT NULL,
    queue text COLLATE "C" NOT NULL,
    dedupe_key text,
    deadline_at double precision,
    not_before_at double precision,
    started_at double precision,
    ended_at double precision,
    seen_at double precision,
    claim_id text,
    claimed_by text,
    lease_until double precision,
    session_id text COLLATE "C",
    cancel_asked_at double precision,
    dismissed_at double precision,
    schedule_id text COLLATE "C",
    channel text
);

-- Listings: newest first.
CREATE INDEX task_created ON task (created_at, id);
CREATE INDEX task_status ON task (status, created_at, id);
CREATE INDEX task_requester ON task (requester, created_at, id);
CREATE INDEX task_runtime ON task (runtime, created_at, id);
CREATE INDEX task_label ON task (label, created_at, id) WHERE label IS NOT NULL;
CREATE INDEX task_flow ON task (flow_id, created_at, id) WHERE flow_id IS NOT NULL;
CREATE INDEX task_session ON task (session_id, created_at, id) WHERE session_id IS NOT NULL;
CREATE INDEX task_conversation ON task (conversation, created_at, id) WHERE conversation IS NOT NULL;
CREATE INDEX task_parent ON task (parent_id, created_at, id) WHERE parent_id IS NOT NULL;
CREATE INDEX task_schedule ON task (schedule_id, created_at, id) WHERE schedule_id IS NOT NULL;
CREATE INDEX task_schedule_live ON task (schedule_id) WHERE status IN ('queued', 'running') AND schedule_id IS NOT NULL;
CREATE INDEX task_flow_live ON task (flow_id) WHERE status IN ('queued', 'running') AND flow_id IS NOT NULL;
CREATE INDEX task_conversation_live ON task (conversation) WHERE status IN ('queued', 'running') AND conversation IS NOT NULL;
CREATE INDEX task_spawn ON task (created_at, id) WHERE kind = 'spawn';
CREATE INDEX task_spawn_of ON task (requester, created_at, id) WHERE kind = 'spawn';
CREATE INDEX task_dismissed ON task (created_at, id) WHERE dismissed_at IS NOT NULL;

-- Live work: these stay as small as what is live.
CREATE UNIQUE INDEX task_dedupe ON task (dedupe_key) WHERE status IN ('queued', 'running') AND dedupe_key IS NOT NULL;
CREATE INDEX task_ready ON task (queue, node, priority DESC, created_at, id)
    WHERE status = 'queued' AND not_before_at IS NULL;
CREATE INDEX task_delayed ON task (not_before_at) WHERE status = 'queued' AND not_before_at IS NOT NULL;
CREATE INDEX task_running ON task (queue, lease_until) WHERE status = 'running';
CREATE UNIQUE INDEX task_claim ON task (claim_id) WHERE status = 'running';
CREATE INDEX task_cancelling ON task (node, id) WHERE status = 'running' AND cancel_asked_at IS NOT NULL;
CREATE INDEX task_deadline ON task (deadline_at) WHERE status IN ('queued', 'running') AND deadline_at IS NOT NULL;

-- Upkeep.
CREATE INDEX task_ended ON task (ended_at, id) WHERE ended_at IS NOT NULL;
CREATE INDEX task_lapsed ON task (node, id) WHERE status = 'lost' AND cause = 'lease_expired';
CREATE INDEX task_undelivered ON task (id) WHERE delivery = 'failed';
CREATE INDEX task_inconsistent ON task (id) WHERE started_at < created_at OR ended_at < created_at OR ended_at < started_at;
-- Turns of agents that say whether their agent is logged in, by agent: a finding is made of the newest.
CREATE INDEX task_agent ON task ((substring(ask from '"agent":"([A-Za-z0-9_-]+)"') COLLATE "C"), ended_at)
    WHERE (runtime = 'subagent' OR runtime = 'acp')
        AND (status = 'succeeded' OR strpos(detail, '"stop":"login_wanted"') > 0);

CREATE TABLE event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id text COLLATE "C" NOT NULL,
    at double precision NOT NULL,
    verb text NOT NULL,
    status text,
    cause text,
    data text NOT NULL
);
CREATE INDEX event_task ON event (task_id);

CREATE TABLE outbox (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    task_id text COLLATE "C" NOT NULL,
    event_id bigint NOT NULL,
    at double precision NOT NULL,
    kind text NOT NULL,
    target text COLLATE "C" NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'delivered', 'parked', 'dismissed')),
    settled_at double precision,
    idempotency_key text NOT NULL UNIQUE,
    body text NOT NULL,
    attempts integer NOT NULL DEFAULT 0,
    next_at double precision NOT NULL DEFAULT 0,
    error text
);
CREATE INDEX outbox_task ON outbox (task_id);
CREATE INDEX outbox_pending ON outbox (id) WHERE state = 'pending';
CREATE INDEX outbox_heads ON outbox (target, id) WHERE state = 'pending';
CREATE INDEX outbox_parked ON outbox (id) WHERE state = 'parked';

-- What a worker really runs, secrets and all: here only until the task has ended.
CREATE TABLE payload (
    task_id text COLLATE "C" PRIMARY KEY,
    body text NOT NULL
);

CREATE TABLE queue (
    name text COLLATE "C" PRIMARY KEY,
    limit_max integer NOT NULL CHECK (limit_max >= 0)
);

-- What a conversation has yet to hear.
CREATE TABLE system_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    conversation text COLLATE "C" NOT NULL,
    at double precision NOT NULL,
    kind text NOT NULL,
    text text NOT NULL,
    data text NOT NULL,
    source_key text NOT NULL UNIQUE,
    mode text NOT NULL,
    acked_at double precision
);
CREATE INDEX system_event_waiting ON system_event (conversation, id) WHERE acked_at IS NULL;
CREATE INDEX system_event_of ON system_event (conversation, id);
CREATE INDEX system_event_acked ON system_event (acked_at) WHERE acked_at IS NOT NULL;

-- How a conversation is nudged. The channel and the secret are private.
CREATE TABLE wake (
    id text COLLATE "C" PRIMARY KEY,
    conversation text COLLATE "C" NOT NULL,
    channel text NOT NULL,
    secret text,
    created_at double precision NOT NULL,
    due_at double precision,
    attempts integer NOT NULL,
    error text,
    sent_event_id bigint NOT NULL,
    sent_at double precision,
    parked_at double precision
);
CREATE INDEX wake_conversation ON wake (conversation, id);
CREATE INDEX wake_due ON wake (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX wake_parked ON wake (parked_at) WHERE parked_at IS NOT NULL;

-- Rules of work to come. The payload is private: it holds what is really run.
CREATE TABLE schedule (
    id text COLLATE "C" PRIMARY KEY,
    name text COLLATE "C" NOT NULL UNIQUE,
    requester text COLLATE "C" NOT NULL,
    created_at double precision NOT NULL,
    updated_at double precision NOT NULL,
    kind text NOT NULL,
    expr text NOT NULL,
    payload text NOT NULL,
    revision integer NOT NULL,
    conversation text,
    tz text NOT NULL,
    anchor_at double precision,
    misfire text NOT NULL,
    misfire_max integer NOT NULL,
    overlap text NOT NULL,
    jitter_seconds double precision NOT NULL,
    retries integer NOT NULL,
    timeout_seconds double precision,
    deliver text NOT NULL,
    channel text,
    comment text,
    delete_after_run integer NOT NULL,
    paused_at double precision,
    disabled_at double precision,
    disabled_why text,
    next_at double precision,
    next_fire_at double precision,
    last_at double precision,
    failures integer NOT NULL
);
CREATE INDEX schedule_due ON schedule (next_fire_at) WHERE next_fire_at IS NOT NULL;
CREATE INDEX schedule_requester ON schedule (requester, name);
CREATE INDEX schedule_disabled ON schedule (id) WHERE disabled_at IS NOT NULL;

-- Each instant of a rule once, whoever was first.
CREATE TABLE firing (
    schedule_id text COLLATE "C" NOT NULL,
    instant double precision NOT NULL,
    at double precision NOT NULL,
    how text NOT NULL,
    task_id text,
    note text,
    PRIMARY KEY (schedule_id, instant)
);
CREATE INDEX firing_at ON firing (at);
CREATE INDEX firing_missed ON firing (at) WHERE how = 'missed';

-- Flows: several steps that stay coordinated over time.
CREATE TABLE flow (
    id text COLLATE "C" PRIMARY KEY,
    mode text NOT NULL CHECK (mode = 'program' OR mode = 'file' OR mode = 'managed' OR mode = 'mirrored'),
    name text NOT NULL,
    requester text NOT NULL,
    status text NOT NULL
        CHECK (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'blocked' OR status = 'succeeded'
            OR status = 'failed' OR status = 'cancelled' OR status = 'lost'),
    created_at double precision NOT NULL,
    updated_at double precision NOT NULL,
    revision integer NOT NULL,
    handler text COLLATE "C",
    ask text NOT NULL,
    goal text,
    state text NOT NULL,
    conversation text,
    channel text,
    label text,
    parent_id text COLLATE "C",
    parent_step text,
    task_id text COLLATE "C",
    schedule_id text COLLATE "C",
    node text,
    priority integer NOT NULL,
    notify text NOT NULL CHECK (notify = 'done_only' OR notify = 'state_changes' OR notify = 'failures_only' OR notify = 'silent'),
    delivery text NOT NULL CHECK (delivery = 'not_needed' OR delivery = 'pending' OR delivery = 'delivered' OR delivery = 'failed'),
    dedupe_key text,
    concurrency_key text COLLATE "C",
    concurrency_max integer NOT NULL,
    key_held integer NOT NULL,
    attempt integer NOT NULL,
    attempts_max integer NOT NULL,
    retry text,
    deadline_at double precision,
    ready_at double precision,
    nudges integer NOT NULL,
    step text,
    wait text,
    blocker text,
    cause text,
    error text,
    result text,
    steps_done integer,
    steps_known integer,
    cancel_asked_at double precision,
    cancel_reason text,
    started_at double precision,
    ended_at double precision,
    crashes integer NOT NULL,
    crash_seq integer NOT NULL,
    claim_id text COLLATE "C",
    claimed_by text COLLATE "C",
    lease_until double precision
);
CREATE INDEX flow_created ON flow (created_at, id);
CREATE INDEX flow_status ON flow (status, created_at, id);
CREATE INDEX flow_requester ON flow (requester, created_at, id);
CREATE INDEX flow_name ON flow (name, created_at, id);
CREATE INDEX flow_mode ON flow (mode, created_at, id) WHERE mode <> 'program';
CREATE INDEX flow_parent ON flow (parent_id, created_at, id) WHERE parent_id IS NOT NULL;
CREATE INDEX flow_label ON flow (label, created_at, id) WHERE label IS NOT NULL;
CREATE INDEX flow_conversation ON flow (conversation, created_at, id) WHERE conversation IS NOT NULL;
CREATE INDEX flow_of_task ON flow (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX flow_of_schedule ON flow (schedule_id, created_at, id) WHERE schedule_id IS NOT NULL AND ended_at IS NULL;
CREATE UNIQUE INDEX flow_dedupe ON flow (dedupe_key) WHERE ended_at IS NULL AND dedupe_key IS NOT NULL;
CREATE INDEX flow_ready ON flow (handler, priority DESC, ready_at, id) WHERE ready_at IS NOT NULL;
CREATE INDEX flow_parent_live ON flow (parent_id) WHERE ended_at IS NULL AND parent_id IS NOT NULL;
CREATE INDEX flow_held ON flow (claimed_by) WHERE status = 'running';
CREATE INDEX flow_nudged ON flow (claimed_by) WHERE status = 'running' AND nudges > 0;
CREATE UNIQUE INDEX flow_claim ON flow (claim_id) WHERE claim_id IS NOT NULL;
CREATE INDEX flow_places ON flow (concurrency_key, key_held, priority DESC, created_at, id)
    WHERE concurrency_key IS NOT NULL AND ended_at IS NULL;
CREATE INDEX flow_waiting ON flow (updated_at) WHERE status = 'waiting' AND ready_at IS NULL;
CREATE INDEX flow_blocked ON flow (updated_at) WHERE status = 'blocked';
CREATE INDEX flow_cancelling ON flow (cancel_asked_at) WHERE ended_at IS NULL AND cancel_asked_at IS NOT NULL;
CREATE INDEX flow_ended ON flow (ended_at, id) WHERE ended_at IS NOT NULL;

-- What a flow runs with, secrets and all: for as long as it is on record, so that it can be taken up again.
CREATE TABLE flow_input (
    flow_id text COLLATE "C" PRIMARY KEY,
    body text NOT NULL
);

CREATE TABLE flow_step (
    flow_id text COLLATE "C" NOT NULL,
    key text COLLATE "C" NOT NULL,
    seq integer NOT NULL,
    kind text NOT NULL,
    status text NOT NULL
        CHECK (status = 'queued' OR status = 'running' OR status = 'succeeded' OR status = 'failed' OR status = 'timed_out'
            OR status = 'cancelled' OR status = 'lost'),
    attempt integer NOT NULL,
    started_at double precision NOT NULL,
    ended_at double precision,
    due_at double precision,
    result text,
    error text,
    ref text,
    PRIMARY KEY (flow_id, key)
);
CREATE INDEX flow_step_ref ON flow_step (ref) WHERE ref IS NOT NULL AND status = 'running';

CREATE TABLE flow_event (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    flow_id text COLLATE "C" NOT NULL,
    at double precision NOT NULL,
    verb text NOT NULL,
    status text,
    step text,
    data text NOT NULL
);
CREATE INDEX flow_event_flow ON flow_event (flow_id, id);

CREATE TABLE flow_signal (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    flow_id text COLLATE "C" NOT NULL,
    name text NOT NULL,
    at double precision NOT NULL,
    payload text NOT NULL,
    sent_by text NOT NULL,
    source_key text,
    step text
);
CREATE INDEX flow_signal_flow ON flow_signal (flow_id, id);
CREATE INDEX flow_signal_waiting ON flow_signal (flow_id, name, id) WHERE step IS NULL;
CREATE UNIQUE INDEX flow_signal_source ON flow_signal (flow_id, source_key) WHERE source_key IS NOT NULL;

CREATE TABLE flow_worker (
    id text COLLATE "C" PRIMARY KEY,
    node text NOT NULL,
    pid integer NOT NULL,
    handlers text NOT NULL,
    started_at double precision NOT NULL,
    lease_until double precision NOT NULL
);

-- Questions that somebody answers once.
CREATE TABLE approval (
    id text COLLATE "C" PRIMARY KEY,
    kind text NOT NULL,
    requester text NOT NULL,
    status text NOT NULL
        CHECK (status = 'pending' OR status = 'approved' OR status = 'rejected' OR status = 'expired' OR status = 'cancelled'),
    prompt text NOT NULL,
    created_at double precision NOT NULL,
    revision integer NOT NULL,
    conversation text,
    preview text,
    flow_id text COLLATE "C",
    step text,
    task_id text COLLATE "C",
    detail text NOT NULL,
    expires_at double precision,
    decided_at double precision,
    decided_by text,
    decided_how text,
    note text
);
CREATE INDEX approval_created ON approval (created_at, id);
CREATE INDEX approval_status ON approval (status, created_at, id);
CREATE INDEX approval_requester ON approval (requester, created_at, id);
CREATE INDEX approval_flow ON approval (flow_id, created_at, id) WHERE flow_id IS NOT NULL;
CREATE INDEX approval_pending ON approval (flow_id) WHERE status = 'pending' AND flow_id IS NOT NULL;
CREATE INDEX approval_task ON approval (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX approval_due ON approval (expires_at) WHERE status = 'pending' AND expires_at IS NOT NULL;
CREATE INDEX approval_decided ON approval (decided_at) WHERE decided_at IS NOT NULL;
-- What agents wait for leave for.
CREATE INDEX approval_parked ON approval (created_at, id) WHERE status = 'pending' AND kind = 'acp';

-- What was said in a conversation of an agent: added at the end, never changed.
CREATE TABLE transcript (
    conversation text COLLATE "C" NOT NULL,
    seq bigint NOT NULL,
    at double precision NOT NULL,
    kind text NOT NULL,
    text text NOT NULL,
    data text NOT NULL,
    task_id text COLLATE "C",
    source_key text COLLATE "C" NOT NULL UNIQUE,
    journal_at bigint,
    PRIMARY KEY (conversation, seq)
);
CREATE INDEX transcript_journal ON transcript (task_id, journal_at) WHERE task_id IS NOT NULL AND journal_at IS NOT NULL;

-- Which agent holds a conversation, and which conversation it was spawned from.
CREATE TABLE agent_conversation (
    key text COLLATE "C" PRIMARY KEY,
    agent text COLLATE "C" NOT NULL,
    created_at double precision NOT NULL,
    updated_at double precision NOT NULL,
    workdir text NOT NULL,
    agent_session text,
    parent text COLLATE "C",
    depth integer NOT NULL,
    turns integer NOT NULL
);
CREATE INDEX agent_conversation_agent ON agent_conversation (agent, key);
CREATE INDEX agent_conversation_parent ON agent_conversation (parent, key) WHERE parent IS NOT NULL;
CREATE INDEX agent_conversation_updated ON agent_conversation (updated_at, key);

-- Where the heartbeat of each agent stands.
CREATE TABLE heartbeat (
    agent text COLLATE "C" PRIMARY KEY,
    next_at double precision,
    paused_at double precision,
    last_at double precision,
    last_text_hash text,
    last_text_at double precision
);

-- Every beat, also those that were skipped, and why.
CREATE TABLE beat (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    agent text COLLATE "C" NOT NULL,
    at double precision NOT NULL,
    why text NOT NULL,
    outcome text NOT NULL
        CHECK (outcome = 'ran' OR outcome = 'silent' OR outcome = 'told' OR outcome = 'skipped' OR outcome = 'failed'),
    reason text NOT NULL,
    session_id text,
    ended_at double precision,
    text text,
    lease_until double precision
);
CREATE INDEX beat_agent ON beat (agent, id);
CREATE INDEX beat_ran ON beat (agent, at) WHERE outcome <> 'skipped';
CREATE INDEX beat_at ON beat (at);
CREATE INDEX beat_open ON beat (id) WHERE ended_at IS NULL;

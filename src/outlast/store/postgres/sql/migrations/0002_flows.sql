CREATE INDEX task_flow_live ON task (flow_id) WHERE status IN ('queued', 'running') AND flow_id IS NOT NULL;

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

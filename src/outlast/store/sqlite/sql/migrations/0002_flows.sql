CREATE INDEX task_flow_live ON task (flow_id) WHERE status IN ('queued', 'running') AND flow_id IS NOT NULL;

-- Flows: several steps that stay coordinated over time.
CREATE TABLE flow (
    id TEXT PRIMARY KEY,
    mode TEXT NOT NULL CHECK (mode = 'program' OR mode = 'file' OR mode = 'managed' OR mode = 'mirrored'),
    name TEXT NOT NULL,
    requester TEXT NOT NULL,
    status TEXT NOT NULL
        CHECK (status = 'queued' OR status = 'running' OR status = 'waiting' OR status = 'blocked' OR status = 'succeeded'
            OR status = 'failed' OR status = 'cancelled' OR status = 'lost'),
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    revision INTEGER NOT NULL,
    handler TEXT,
    ask TEXT NOT NULL,
    goal TEXT,
    state TEXT NOT NULL,
    conversation TEXT,
    channel TEXT,
    label TEXT,
    parent_id TEXT,
    parent_step TEXT,
    task_id TEXT,
    schedule_id TEXT,
    node TEXT,
    priority INTEGER NOT NULL,
    notify TEXT NOT NULL CHECK (notify = 'done_only' OR notify = 'state_changes' OR notify = 'failures_only' OR notify = 'silent'),
    delivery TEXT NOT NULL CHECK (delivery = 'not_needed' OR delivery = 'pending' OR delivery = 'delivered' OR delivery = 'failed'),
    dedupe_key TEXT,
    concurrency_key TEXT,
    concurrency_max INTEGER NOT NULL,
    key_held INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    attempts_max INTEGER NOT NULL,
    retry TEXT,
    deadline_at REAL,
    ready_at REAL,
    nudges INTEGER NOT NULL,
    step TEXT,
    wait TEXT,
    blocker TEXT,
    cause TEXT,
    error TEXT,
    result TEXT,
    steps_done INTEGER,
    steps_known INTEGER,
    cancel_asked_at REAL,
    cancel_reason TEXT,
    started_at REAL,
    ended_at REAL,
    crashes INTEGER NOT NULL,
    crash_seq INTEGER NOT NULL,
    claim_id TEXT,
    claimed_by TEXT,
    lease_until REAL
) STRICT, WITHOUT ROWID;
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
    flow_id TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE flow_step (
    flow_id TEXT NOT NULL,
    key TEXT NOT NULL,
    seq INTEGER NOT NULL,
    kind TEXT NOT NULL,
    status TEXT NOT NULL
        CHECK (status = 'queued' OR status = 'running' OR status = 'succeeded' OR status = 'failed' OR status = 'timed_out'
            OR status = 'cancelled' OR status = 'lost'),
    attempt INTEGER NOT NULL,
    started_at REAL NOT NULL,
    ended_at REAL,
    due_at REAL,
    result TEXT,
    error TEXT,
    ref TEXT,
    PRIMARY KEY (flow_id, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX flow_step_ref ON flow_step (ref) WHERE ref IS NOT NULL AND status = 'running';

CREATE TABLE flow_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    flow_id TEXT NOT NULL,
    at REAL NOT NULL,
    verb TEXT NOT NULL,
    status TEXT,
    step TEXT,
    data TEXT NOT NULL
) STRICT;
CREATE INDEX flow_event_flow ON flow_event (flow_id, id);

CREATE TABLE flow_signal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    flow_id TEXT NOT NULL,
    name TEXT NOT NULL,
    at REAL NOT NULL,
    payload TEXT NOT NULL,
    sent_by TEXT NOT NULL,
    source_key TEXT,
    step TEXT
) STRICT;
CREATE INDEX flow_signal_flow ON flow_signal (flow_id, id);
CREATE INDEX flow_signal_waiting ON flow_signal (flow_id, name, id) WHERE step IS NULL;
CREATE UNIQUE INDEX flow_signal_source ON flow_signal (flow_id, source_key) WHERE source_key IS NOT NULL;

CREATE TABLE flow_worker (
    id TEXT PRIMARY KEY,
    node TEXT NOT NULL,
    pid INTEGER NOT NULL,
    handlers TEXT NOT NULL,
    started_at REAL NOT NULL,
    lease_until REAL NOT NULL
) STRICT, WITHOUT ROWID;

-- Questions that somebody answers once.
CREATE TABLE approval (
    id TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    requester TEXT NOT NULL,
    status TEXT NOT NULL
        CHECK (status = 'pending' OR status = 'approved' OR status = 'rejected' OR status = 'expired' OR status = 'cancelled'),
    prompt TEXT NOT NULL,
    created_at REAL NOT NULL,
    revision INTEGER NOT NULL,
    conversation TEXT,
    preview TEXT,
    flow_id TEXT,
    step TEXT,
    task_id TEXT,
    detail TEXT NOT NULL,
    expires_at REAL,
    decided_at REAL,
    decided_by TEXT,
    decided_how TEXT,
    note TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX approval_created ON approval (created_at, id);
CREATE INDEX approval_status ON approval (status, created_at, id);
CREATE INDEX approval_requester ON approval (requester, created_at, id);
CREATE INDEX approval_flow ON approval (flow_id, created_at, id) WHERE flow_id IS NOT NULL;
CREATE INDEX approval_pending ON approval (flow_id) WHERE status = 'pending' AND flow_id IS NOT NULL;
CREATE INDEX approval_task ON approval (task_id) WHERE task_id IS NOT NULL;
CREATE INDEX approval_due ON approval (expires_at) WHERE status = 'pending' AND expires_at IS NOT NULL;
CREATE INDEX approval_decided ON approval (decided_at) WHERE decided_at IS NOT NULL;

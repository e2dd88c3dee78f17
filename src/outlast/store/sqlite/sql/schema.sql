-- Times are seconds since the epoch (UTC). JSON columns hold text.
-- A check with IN would build a table in memory for every row that is written; a chain of OR only compares.

CREATE TABLE schema_version (
    number INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    checksum TEXT NOT NULL
) STRICT;

CREATE TABLE task (
    id TEXT PRIMARY KEY,
    runtime TEXT NOT NULL,
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    requester TEXT NOT NULL,
    status TEXT NOT NULL
        CHECK (status = 'queued' OR status = 'running' OR status = 'succeeded' OR status = 'failed' OR status = 'timed_out'
            OR status = 'cancelled' OR status = 'lost'),
    created_at REAL NOT NULL,
    revision INTEGER NOT NULL,
    ask TEXT NOT NULL,
    detail TEXT NOT NULL,
    cause TEXT,
    conversation TEXT,
    parent_id TEXT,
    flow_id TEXT,
    node TEXT,
    label TEXT,
    title TEXT,
    attempt INTEGER NOT NULL,
    attempts_max INTEGER NOT NULL,
    retry TEXT,
    progress INTEGER CHECK (progress BETWEEN 0 AND 100),
    progress_message TEXT,
    summary TEXT,
    error TEXT,
    notify TEXT NOT NULL CHECK (notify = 'done_only' OR notify = 'state_changes' OR notify = 'failures_only' OR notify = 'silent'),
    delivery TEXT NOT NULL CHECK (delivery = 'not_needed' OR delivery = 'pending' OR delivery = 'delivered' OR delivery = 'failed'),
    priority INTEGER NOT NULL,
    queue TEXT NOT NULL,
    dedupe_key TEXT,
    deadline_at REAL,
    not_before_at REAL,
    started_at REAL,
    ended_at REAL,
    seen_at REAL,
    claim_id TEXT,
    claimed_by TEXT,
    lease_until REAL,
    session_id TEXT,
    cancel_asked_at REAL,
    dismissed_at REAL,
    schedule_id TEXT,
    channel TEXT
) STRICT, WITHOUT ROWID;

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
CREATE INDEX task_agent ON task (json_extract(ask, '$.agent'), ended_at)
    WHERE (runtime = 'subagent' OR runtime = 'acp')
        AND (status = 'succeeded' OR instr(detail, '"stop":"login_wanted"') > 0);

CREATE TABLE event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id TEXT NOT NULL,
    at REAL NOT NULL,
    verb TEXT NOT NULL,
    status TEXT,
    cause TEXT,
    data TEXT NOT NULL
) STRICT;
CREATE INDEX event_task ON event (task_id);

CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    task_id TEXT NOT NULL,
    event_id INTEGER NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    target TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state = 'pending' OR state = 'delivered' OR state = 'parked' OR state = 'dismissed'),
    settled_at REAL,
    idempotency_key TEXT NOT NULL UNIQUE,
    body TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at REAL NOT NULL DEFAULT 0,
    error TEXT
) STRICT;
CREATE INDEX outbox_task ON outbox (task_id);
CREATE INDEX outbox_pending ON outbox (id) WHERE state = 'pending';
CREATE INDEX outbox_heads ON outbox (target, id) WHERE state = 'pending';
CREATE INDEX outbox_parked ON outbox (id) WHERE state = 'parked';

-- What a worker really runs, secrets and all: here only until the task has ended.
CREATE TABLE payload (
    task_id TEXT PRIMARY KEY,
    body TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE queue (
    name TEXT PRIMARY KEY,
    limit_max INTEGER NOT NULL CHECK (limit_max >= 0)
) STRICT, WITHOUT ROWID;

-- What a conversation has yet to hear.
CREATE TABLE system_event (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation TEXT NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    data TEXT NOT NULL,
    source_key TEXT NOT NULL UNIQUE,
    mode TEXT NOT NULL,
    acked_at REAL
) STRICT;
CREATE INDEX system_event_waiting ON system_event (conversation, id) WHERE acked_at IS NULL;
CREATE INDEX system_event_of ON system_event (conversation, id);
CREATE INDEX system_event_acked ON system_event (acked_at) WHERE acked_at IS NOT NULL;

-- How a conversation is nudged. The channel and the secret are private.
CREATE TABLE wake (
    id TEXT PRIMARY KEY,
    conversation TEXT NOT NULL,
    channel TEXT NOT NULL,
    secret TEXT,
    created_at REAL NOT NULL,
    due_at REAL,
    attempts INTEGER NOT NULL,
    error TEXT,
    sent_event_id INTEGER NOT NULL,
    sent_at REAL,
    parked_at REAL
) STRICT, WITHOUT ROWID;
CREATE INDEX wake_conversation ON wake (conversation, id);
CREATE INDEX wake_due ON wake (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX wake_parked ON wake (parked_at) WHERE parked_at IS NOT NULL;

-- Rules of work to come. The payload is private: it holds what is really run.
CREATE TABLE schedule (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    requester TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    kind TEXT NOT NULL,
    expr TEXT NOT NULL,
    payload TEXT NOT NULL,
    revision INTEGER NOT NULL,
    conversation TEXT,
    tz TEXT NOT NULL,
    anchor_at REAL,
    misfire TEXT NOT NULL,
    misfire_max INTEGER NOT NULL,
    overlap TEXT NOT NULL,
    jitter_seconds REAL NOT NULL,
    retries INTEGER NOT NULL,
    timeout_seconds REAL,
    deliver TEXT NOT NULL,
    channel TEXT,
    comment TEXT,
    delete_after_run INTEGER NOT NULL,
    paused_at REAL,
    disabled_at REAL,
    disabled_why TEXT,
    next_at REAL,
    next_fire_at REAL,
    last_at REAL,
    failures INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX schedule_due ON schedule (next_fire_at) WHERE next_fire_at IS NOT NULL;
CREATE INDEX schedule_requester ON schedule (requester, name);
CREATE INDEX schedule_disabled ON schedule (id) WHERE disabled_at IS NOT NULL;

-- Each instant of a rule once, whoever was first.
CREATE TABLE firing (
    schedule_id TEXT NOT NULL,
    instant REAL NOT NULL,
    at REAL NOT NULL,
    how TEXT NOT NULL,
    task_id TEXT,
    note TEXT,
    PRIMARY KEY (schedule_id, instant)
) STRICT, WITHOUT ROWID;
CREATE INDEX firing_at ON firing (at);
CREATE INDEX firing_missed ON firing (at) WHERE how = 'missed';

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
-- What agents wait for leave for.
CREATE INDEX approval_parked ON approval (created_at, id) WHERE status = 'pending' AND kind = 'acp';

-- What was said in a conversation of an agent: added at the end, never changed.
CREATE TABLE transcript (
    conversation TEXT NOT NULL,
    seq INTEGER NOT NULL,
    at REAL NOT NULL,
    kind TEXT NOT NULL,
    text TEXT NOT NULL,
    data TEXT NOT NULL,
    task_id TEXT,
    source_key TEXT NOT NULL UNIQUE,
    journal_at INTEGER,
    PRIMARY KEY (conversation, seq)
) STRICT, WITHOUT ROWID;
CREATE INDEX transcript_journal ON transcript (task_id, journal_at) WHERE task_id IS NOT NULL AND journal_at IS NOT NULL;

-- Which agent holds a conversation, and which conversation it was spawned from.
CREATE TABLE agent_conversation (
    key TEXT PRIMARY KEY,
    agent TEXT NOT NULL,
    created_at REAL NOT NULL,
    updated_at REAL NOT NULL,
    workdir TEXT NOT NULL,
    agent_session TEXT,
    parent TEXT,
    depth INTEGER NOT NULL,
    turns INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX agent_conversation_agent ON agent_conversation (agent, key);
CREATE INDEX agent_conversation_parent ON agent_conversation (parent, key) WHERE parent IS NOT NULL;
CREATE INDEX agent_conversation_updated ON agent_conversation (updated_at, key);

-- Where the heartbeat of each agent stands.
CREATE TABLE heartbeat (
    agent TEXT PRIMARY KEY,
    next_at REAL,
    paused_at REAL,
    last_at REAL,
    last_text_hash TEXT,
    last_text_at REAL
) STRICT, WITHOUT ROWID;

-- Every beat, also those that were skipped, and why.
CREATE TABLE beat (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    agent TEXT NOT NULL,
    at REAL NOT NULL,
    why TEXT NOT NULL,
    outcome TEXT NOT NULL
        CHECK (outcome = 'ran' OR outcome = 'silent' OR outcome = 'told' OR outcome = 'skipped' OR outcome = 'failed'),
    reason TEXT NOT NULL,
    session_id TEXT,
    ended_at REAL,
    text TEXT,
    lease_until REAL
) STRICT;
CREATE INDEX beat_agent ON beat (agent, id);
CREATE INDEX beat_ran ON beat (agent, at) WHERE outcome <> 'skipped';
CREATE INDEX beat_at ON beat (at);
CREATE INDEX beat_open ON beat (id) WHERE ended_at IS NULL;

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
    dismissed_at double precision
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
    target text NOT NULL,
    state text NOT NULL CHECK (state IN ('pending', 'delivered', 'parked')),
    settled_at double precision,
    idempotency_key text NOT NULL UNIQUE,
    body text NOT NULL
);
CREATE INDEX outbox_task ON outbox (task_id);
CREATE INDEX outbox_pending ON outbox (id) WHERE state = 'pending';
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

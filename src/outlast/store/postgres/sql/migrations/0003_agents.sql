CREATE INDEX task_conversation_live ON task (conversation) WHERE status IN ('queued', 'running') AND conversation IS NOT NULL;

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
    text text
);
CREATE INDEX beat_agent ON beat (agent, id);
CREATE INDEX beat_ran ON beat (agent, at) WHERE outcome <> 'skipped';
CREATE INDEX beat_at ON beat (at);
CREATE INDEX beat_open ON beat (id) WHERE ended_at IS NULL;

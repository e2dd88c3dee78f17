CREATE INDEX task_conversation_live ON task (conversation) WHERE status IN ('queued', 'running') AND conversation IS NOT NULL;

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
    text TEXT
) STRICT;
CREATE INDEX beat_agent ON beat (agent, id);
CREATE INDEX beat_ran ON beat (agent, at) WHERE outcome <> 'skipped';
CREATE INDEX beat_at ON beat (at);
CREATE INDEX beat_open ON beat (id) WHERE ended_at IS NULL;

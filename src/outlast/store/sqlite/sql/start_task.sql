-- New work that is claimed as it is put on record; may_start is its guard.
INSERT INTO task (
    id, runtime, kind, source, requester, status, created_at, revision, ask, detail, conversation, parent_id, flow_id,
    node, label, title, attempt, attempts_max, retry, notify, delivery, priority, queue, dedupe_key, deadline_at,
    started_at, seen_at, claim_id, claimed_by, lease_until, session_id, schedule_id, channel
) VALUES (
    :id, :runtime, :kind, :source, :requester, :status, :created_at, :revision, :ask, :detail, :conversation, :parent_id,
    :flow_id, :node, :label, :title, :attempt, :attempts_max, :retry, :notify, :delivery, :priority, :queue, :dedupe_key,
    :deadline_at, :started_at, :seen_at, :claim_id, :claimed_by, :lease_until, :session_id,
    :schedule_id, :channel
);

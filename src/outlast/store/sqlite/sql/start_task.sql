-- New work that is claimed as it is put on record.
INSERT INTO task (
    id, runtime, kind, source, requester, status, created_at, revision, ask, detail, conversation, parent_id, flow_id,
    node, label, title, attempt, attempts_max, retry, notify, delivery, priority, queue, dedupe_key, deadline_at,
    not_before_at, session_id, started_at, seen_at, claim_id, claimed_by, lease_until
) VALUES (
    :id, :runtime, :kind, :source, :requester, 'running', :created_at, 1, :ask, '{}', :conversation, :parent_id,
    :flow_id, :node, :label, :title, 1, :attempts_max, :retry, :notify, :delivery, :priority, :queue, :dedupe_key,
    :deadline_at, NULL, :session_id, :created_at, :created_at, :claim_id, :claimed_by, :lease_until
);

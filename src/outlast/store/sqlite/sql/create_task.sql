INSERT INTO task (
    id, runtime, kind, source, requester, status, created_at, revision, ask, detail, conversation, parent_id, flow_id,
    node, label, title, attempt, attempts_max, retry, notify, delivery, priority, queue, dedupe_key, deadline_at,
    not_before_at, session_id, schedule_id, channel
) VALUES (
    :id, :runtime, :kind, :source, :requester, :status, :created_at, :revision, :ask, :detail, :conversation, :parent_id,
    :flow_id, :node, :label, :title, :attempt, :attempts_max, :retry, :notify, :delivery, :priority, :queue, :dedupe_key,
    :deadline_at, :not_before_at, :session_id, :schedule_id, :channel
);

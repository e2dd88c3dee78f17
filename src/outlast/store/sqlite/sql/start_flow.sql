-- A new flow that runs from the beginning: under a claim, or in the hands of who made it.
INSERT INTO flow (
    id, mode, name, requester, status, created_at, updated_at, revision, handler, ask, goal, state, conversation, channel,
    label, parent_id, parent_step, task_id, schedule_id, node, priority, notify, delivery, dedupe_key, concurrency_key,
    concurrency_max, key_held, attempt, attempts_max, retry, deadline_at, ready_at, nudges, wait, crashes, crash_seq,
    started_at, claim_id, claimed_by, lease_until
) VALUES (
    :id, :mode, :name, :requester, :status, :created_at, :updated_at, :revision, :handler, :ask, :goal, :state,
    :conversation, :channel, :label, :parent_id, :parent_step, :task_id, :schedule_id, :node, :priority, :notify,
    :delivery, :dedupe_key, :concurrency_key, :concurrency_max, :key_held, :attempt, :attempts_max, :retry,
    :deadline_at, :ready_at, :nudges, :wait, :crashes, :crash_seq, :started_at, :claim_id, :claimed_by, :lease_until
);

INSERT INTO approval (
    id, kind, requester, status, prompt, created_at, revision, conversation, preview, flow_id, step, task_id, detail,
    expires_at, decided_at, decided_by, decided_how, note
) VALUES (
    :id, :kind, :requester, :status, :prompt, :created_at, :revision, :conversation, :preview, :flow_id, :step, :task_id,
    :detail, :expires_at, :decided_at, :decided_by, :decided_how, :note
);

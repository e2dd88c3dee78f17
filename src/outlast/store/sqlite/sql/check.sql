SELECT 'event ' || event.id || ' belongs to no task (' || event.task_id || ')' FROM event
WHERE NOT EXISTS (SELECT 1 FROM task WHERE task.id = event.task_id)
UNION ALL
SELECT 'notice ' || outbox.id || ' belongs to no task, flow, approval or beat (' || outbox.task_id || ')' FROM outbox
WHERE NOT EXISTS (SELECT 1 FROM task WHERE task.id = outbox.task_id)
    AND NOT EXISTS (SELECT 1 FROM flow WHERE flow.id = outbox.task_id)
    AND NOT EXISTS (SELECT 1 FROM approval WHERE approval.id = outbox.task_id)
    AND NOT EXISTS (SELECT 1 FROM beat WHERE 'beat:' || beat.id = outbox.task_id)
UNION ALL
SELECT 'payload belongs to no task (' || payload.task_id || ')' FROM payload
WHERE NOT EXISTS (SELECT 1 FROM task WHERE task.id = payload.task_id)
UNION ALL
SELECT 'step ' || flow_step.key || ' belongs to no flow (' || flow_step.flow_id || ')' FROM flow_step
WHERE NOT EXISTS (SELECT 1 FROM flow WHERE flow.id = flow_step.flow_id)
UNION ALL
SELECT 'event ' || flow_event.id || ' belongs to no flow (' || flow_event.flow_id || ')' FROM flow_event
WHERE NOT EXISTS (SELECT 1 FROM flow WHERE flow.id = flow_event.flow_id)
UNION ALL
SELECT 'signal ' || flow_signal.id || ' belongs to no flow (' || flow_signal.flow_id || ')' FROM flow_signal
WHERE NOT EXISTS (SELECT 1 FROM flow WHERE flow.id = flow_signal.flow_id)
UNION ALL
SELECT 'input belongs to no flow (' || flow_input.flow_id || ')' FROM flow_input
WHERE NOT EXISTS (SELECT 1 FROM flow WHERE flow.id = flow_input.flow_id)
UNION ALL
SELECT 'entry ' || transcript.seq || ' belongs to no conversation of an agent (' || transcript.conversation || ')'
FROM transcript
WHERE NOT EXISTS (SELECT 1 FROM agent_conversation WHERE agent_conversation.key = transcript.conversation)
LIMIT 20;

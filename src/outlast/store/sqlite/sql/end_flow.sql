-- A success forgets the trouble it had on its way.
UPDATE flow SET
    status = :target, revision = revision + 1, updated_at = :at, ended_at = :at, ready_at = NULL, nudges = 0,
    key_held = 0, cause = CASE WHEN :target = 'succeeded' THEN :cause ELSE coalesce(:cause, cause) END,
    error = CASE WHEN :target = 'succeeded' THEN :error ELSE coalesce(:error, error) END,
    step = coalesce(:step, step), state = coalesce(:state, state), wait = :wait, blocker = :blocker,
    result = coalesce(:result, result), steps_done = coalesce(:steps_done, steps_done),
    steps_known = coalesce(:steps_known, steps_known), claim_id = NULL, claimed_by = NULL, lease_until = NULL,
    delivery = CASE WHEN instr(:told, notify) THEN 'pending' ELSE delivery END
WHERE id = :id AND instr(:sources, status) AND (:claim_id IS NULL OR claim_id = :claim_id)
    AND (:revision IS NULL OR revision = :revision) AND (:unless_nudged = 0 OR nudges = 0);

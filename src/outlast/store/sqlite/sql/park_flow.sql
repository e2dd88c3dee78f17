-- Queued without a place among those of its key, it waits for one. Workers that died before no longer count.
UPDATE flow SET
    status = :target, revision = revision + 1, updated_at = :at, attempt = max(0, attempt + :attempts),
    ready_at = CASE
        WHEN :target = 'queued' AND concurrency_key IS NOT NULL AND key_held = 0 THEN NULL ELSE :ready_at
    END,
    crashes = CASE WHEN :target = 'queued' THEN 0 ELSE crashes END,
    crash_seq = CASE WHEN :target = 'queued' THEN 0 ELSE crash_seq END,
    cause = coalesce(:cause, cause), error = coalesce(:error, error),
    step = coalesce(:step, step), state = coalesce(:state, state), wait = :wait, blocker = :blocker,
    result = coalesce(:result, result), steps_done = coalesce(:steps_done, steps_done),
    steps_known = coalesce(:steps_known, steps_known), claim_id = NULL, claimed_by = NULL, lease_until = NULL,
    delivery = CASE WHEN instr(:told, notify) THEN 'pending' ELSE delivery END
WHERE id = :id AND instr(:sources, status) AND (:claim_id IS NULL OR claim_id = :claim_id)
    AND (:revision IS NULL OR revision = :revision) AND (:unless_nudged = 0 OR nudges = 0);

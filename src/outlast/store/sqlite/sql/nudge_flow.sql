UPDATE flow SET
    nudges = nudges + 1, updated_at = :now,
    ready_at = CASE
        WHEN status = 'waiting' AND handler IS NOT NULL THEN min(:now, coalesce(ready_at, :now)) ELSE ready_at
    END
WHERE id = :id AND ended_at IS NULL;

UPDATE approval SET
    status = CAST(:status AS text), decided_at = :at, decided_by = :by, decided_how = :how, note = :note,
    revision = revision + 1
WHERE id = :id AND status = 'pending' AND (CAST(:revision AS integer) IS NULL OR revision = :revision)
    AND CASE CAST(:status AS text)
        WHEN 'cancelled' THEN true
        WHEN 'expired' THEN expires_at <= :at
        ELSE expires_at IS NULL OR expires_at > :at
    END
RETURNING {approval};

UPDATE approval SET
    status = :status, decided_at = :at, decided_by = :by, decided_how = :how, note = :note, revision = revision + 1
WHERE id = :id AND status = 'pending' AND (:revision IS NULL OR revision = :revision)
    AND CASE :status
        WHEN 'cancelled' THEN true
        WHEN 'expired' THEN expires_at <= :at
        ELSE expires_at IS NULL OR expires_at > :at
    END;

UPDATE flow SET revision = revision + 1, updated_at = :now
WHERE id = :id AND mode = 'managed' AND ended_at IS NULL AND cancel_asked_at IS NULL
    AND (:revision IS NULL OR revision = :revision);

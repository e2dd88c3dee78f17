UPDATE schedule SET
    disabled_at = :now, disabled_why = :why, next_at = NULL, next_fire_at = NULL, revision = revision + 1
WHERE id = :id AND disabled_at IS NULL
RETURNING id;

-- Whoever moves the cursor fires: no row back means somebody was first, or changed the rule meanwhile.
UPDATE schedule SET next_at = :next_at, next_fire_at = :next_fire_at, last_at = :last_at
WHERE id = :id AND next_at = :expected AND revision = :revision AND paused_at IS NULL AND disabled_at IS NULL
RETURNING id;

SELECT {schedule} FROM schedule
WHERE next_fire_at IS NOT NULL AND next_fire_at <= :now ORDER BY next_fire_at, id LIMIT :limit;

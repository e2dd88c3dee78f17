SELECT {schedule} FROM schedule WHERE disabled_at IS NOT NULL ORDER BY id LIMIT :limit;

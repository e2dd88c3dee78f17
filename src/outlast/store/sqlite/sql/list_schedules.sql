SELECT {schedule} FROM schedule WHERE name > :after ORDER BY name LIMIT :limit;

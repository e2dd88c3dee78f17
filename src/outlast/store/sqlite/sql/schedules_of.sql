SELECT {schedule} FROM schedule WHERE requester = :requester AND name > :after ORDER BY name LIMIT :limit;

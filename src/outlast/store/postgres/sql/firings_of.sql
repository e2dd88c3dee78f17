SELECT {firing} FROM firing
WHERE schedule_id = :schedule_id AND instant < :before ORDER BY instant DESC LIMIT :limit;

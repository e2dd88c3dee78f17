SELECT {wake} FROM wake WHERE parked_at IS NOT NULL ORDER BY parked_at, id LIMIT :limit;

INSERT INTO queue (name, limit_max) VALUES (:name, :limit_max)
ON CONFLICT (name) DO UPDATE SET limit_max = excluded.limit_max;

-- A limit that somebody has set stays.
INSERT INTO queue (name, limit_max) VALUES (:name, :limit_max) ON CONFLICT (name) DO NOTHING;

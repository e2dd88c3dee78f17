SELECT {wake} FROM wake WHERE due_at IS NOT NULL AND due_at <= :now ORDER BY due_at, id LIMIT :limit;

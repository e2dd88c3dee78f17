UPDATE schedule SET failures = CASE WHEN :succeeded THEN 0 ELSE failures + 1 END WHERE id = :id RETURNING failures;

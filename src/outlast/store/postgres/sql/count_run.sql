UPDATE schedule SET failures = CASE WHEN CAST(:succeeded AS integer) = 1 THEN 0 ELSE failures + 1 END WHERE id = :id RETURNING failures;

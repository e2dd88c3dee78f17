-- At once for the first of a burst; what follows within the window goes together at its end.
UPDATE wake SET due_at = CASE WHEN sent_at IS NULL OR sent_at + :window <= :now THEN :now ELSE sent_at + :window END
WHERE conversation = :conversation AND due_at IS NULL AND parked_at IS NULL
RETURNING id;

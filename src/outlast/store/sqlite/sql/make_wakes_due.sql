-- At once for the first of a burst; what follows within the window goes together at its end. One that was sent at a
-- moment that is still to come was sent before the clock was set back: that says nothing about a burst.
UPDATE wake SET due_at = CASE
    WHEN sent_at IS NULL OR sent_at + :window <= :now OR sent_at > :now THEN :now ELSE sent_at + :window
END
WHERE conversation = :conversation AND due_at IS NULL AND parked_at IS NULL
RETURNING id;

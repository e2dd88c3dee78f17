UPDATE system_event SET acked_at = :now
WHERE conversation = :conversation AND acked_at IS NULL AND id <= :upto
RETURNING id;

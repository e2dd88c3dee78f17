SELECT {system_event} FROM system_event
WHERE conversation = :conversation AND acked_at IS NULL AND id > :after ORDER BY id LIMIT :limit;

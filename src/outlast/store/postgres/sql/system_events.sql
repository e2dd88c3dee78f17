SELECT {system_event} FROM system_event
WHERE conversation = :conversation AND id > :after ORDER BY id LIMIT :limit;

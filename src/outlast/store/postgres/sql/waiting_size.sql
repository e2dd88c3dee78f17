SELECT count(*), coalesce(sum(length(text)), 0) FROM system_event
WHERE conversation = :conversation AND acked_at IS NULL;

SELECT coalesce(max(id), 0) FROM system_event WHERE conversation = :conversation AND acked_at IS NULL;

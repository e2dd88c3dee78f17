DELETE FROM system_event WHERE conversation = :conversation AND acked_at IS NULL AND id < :before;

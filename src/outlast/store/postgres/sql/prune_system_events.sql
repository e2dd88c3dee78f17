DELETE FROM system_event WHERE acked_at IS NOT NULL AND acked_at < :before;

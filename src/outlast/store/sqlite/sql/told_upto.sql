SELECT min(sent_event_id) FROM wake WHERE conversation = :conversation AND parked_at IS NULL;

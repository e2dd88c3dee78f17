INSERT INTO wake (id, conversation, channel, secret, created_at, attempts, sent_event_id)
VALUES (:id, :conversation, :channel, :secret, :created_at, 0, 0);

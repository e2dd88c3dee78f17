SELECT id FROM outbox WHERE idempotency_key = :idempotency_key;

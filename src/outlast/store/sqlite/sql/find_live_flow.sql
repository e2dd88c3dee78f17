SELECT {flow} FROM flow WHERE dedupe_key = :dedupe_key AND dedupe_key IS NOT NULL AND ended_at IS NULL;

INSERT INTO flow_signal (flow_id, name, at, payload, sent_by, source_key)
SELECT
    id, CAST(:name AS text), CAST(:at AS double precision), CAST(:payload AS text), CAST(:sent_by AS text),
    CAST(:source_key AS text)
FROM flow WHERE id = :flow_id AND ended_at IS NULL
ON CONFLICT (flow_id, source_key) WHERE source_key IS NOT NULL DO NOTHING
RETURNING {signal};

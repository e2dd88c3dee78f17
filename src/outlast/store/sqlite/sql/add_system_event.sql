INSERT INTO system_event (conversation, at, kind, text, data, source_key, mode)
VALUES (:conversation, :at, :kind, :text, :data, :source_key, :mode)
ON CONFLICT (source_key) DO NOTHING
RETURNING id;

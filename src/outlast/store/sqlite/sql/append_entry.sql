-- A subquery among VALUES is answered in its place; one that selected the row would be kept in a table of its own.
INSERT INTO transcript (conversation, seq, at, kind, text, data, task_id, source_key, journal_at)
VALUES (
    :conversation, coalesce((SELECT max(seq) FROM transcript WHERE conversation = :conversation), 0) + 1,
    :at, :kind, :text, :data, :task_id, :source_key, :journal_at
)
ON CONFLICT (source_key) DO NOTHING;

SELECT {entry} FROM transcript
WHERE task_id = :task_id AND task_id IS NOT NULL AND journal_at IS NOT NULL
    AND substr(source_key, 1, length(:mark)) = :mark
ORDER BY journal_at DESC LIMIT 1;

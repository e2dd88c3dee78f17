SELECT 1 FROM beat
WHERE agent = :agent AND at >= :since AND outcome <> 'skipped' AND outcome = 'told' AND text = :text LIMIT 1;

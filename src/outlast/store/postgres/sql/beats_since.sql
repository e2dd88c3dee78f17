SELECT count(*) FROM beat
WHERE agent = :agent AND at >= :since AND outcome <> 'skipped';

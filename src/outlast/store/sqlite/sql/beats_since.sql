SELECT count(*) FROM beat INDEXED BY beat_ran
WHERE agent = :agent AND at >= :since AND outcome <> 'skipped';

SELECT substring(ask from '"agent":"([A-Za-z0-9_-]+)"'), status, count(*) FROM task
WHERE conversation IS NOT NULL AND status IN ('queued', 'running') AND (runtime = 'subagent' OR runtime = 'acp')
    AND requester = coalesce(:requester, requester)
GROUP BY 1, 2;

SELECT json_extract(ask, '$.agent'), status, count(*) FROM task INDEXED BY task_conversation_live
WHERE conversation IS NOT NULL AND status IN ('queued', 'running') AND (runtime = 'subagent' OR runtime = 'acp')
    AND requester = coalesce(:requester, requester)
GROUP BY 1, 2;

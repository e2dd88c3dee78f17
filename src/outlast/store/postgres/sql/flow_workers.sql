SELECT {flow_worker} FROM flow_worker ORDER BY started_at, id;

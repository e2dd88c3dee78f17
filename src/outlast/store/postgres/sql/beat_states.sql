SELECT {heartbeat} FROM heartbeat ORDER BY agent;

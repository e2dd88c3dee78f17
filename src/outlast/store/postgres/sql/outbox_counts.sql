SELECT state, count(*) FROM outbox WHERE state = 'pending' GROUP BY state
UNION ALL
SELECT state, count(*) FROM outbox WHERE state = 'parked' GROUP BY state;

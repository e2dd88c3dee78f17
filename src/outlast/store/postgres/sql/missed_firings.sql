SELECT {firing} FROM firing WHERE how = 'missed' AND at >= :since ORDER BY at LIMIT :limit;

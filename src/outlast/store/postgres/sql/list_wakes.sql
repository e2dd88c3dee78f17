SELECT {wake} FROM wake ORDER BY conversation, id LIMIT :limit;

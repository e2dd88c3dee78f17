SELECT name, limit_max FROM queue;

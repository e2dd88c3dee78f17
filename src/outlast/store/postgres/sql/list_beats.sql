SELECT {beat} FROM beat WHERE id < :before ORDER BY id DESC LIMIT :limit;

SELECT {beat} FROM beat WHERE agent = :agent AND id < :before ORDER BY id DESC LIMIT :limit;

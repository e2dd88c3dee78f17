DELETE FROM beat WHERE at < :before;

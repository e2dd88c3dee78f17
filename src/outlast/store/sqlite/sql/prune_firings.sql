DELETE FROM firing WHERE at < :before;

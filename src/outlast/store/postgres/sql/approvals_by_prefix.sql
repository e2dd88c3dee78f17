SELECT {approval} FROM approval WHERE id >= :prefix AND id < :above ORDER BY id DESC LIMIT :limit;

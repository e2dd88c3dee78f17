SELECT {flow} FROM flow WHERE id >= :prefix AND id < :above ORDER BY id DESC LIMIT :limit;

SELECT {wake} FROM wake WHERE conversation = :conversation ORDER BY id;

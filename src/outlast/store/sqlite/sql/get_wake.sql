SELECT {wake} FROM wake WHERE id = :id;

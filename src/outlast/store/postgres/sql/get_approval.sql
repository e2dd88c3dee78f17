SELECT {approval} FROM approval WHERE id = :id;

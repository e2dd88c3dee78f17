DELETE FROM queue WHERE name = :name;

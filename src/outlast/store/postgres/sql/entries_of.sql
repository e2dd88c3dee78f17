SELECT {entry} FROM transcript WHERE conversation = :conversation AND seq > :after ORDER BY seq LIMIT :limit;

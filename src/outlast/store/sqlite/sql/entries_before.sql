SELECT {entry} FROM transcript WHERE conversation = :conversation AND seq < :before ORDER BY seq DESC LIMIT :limit;

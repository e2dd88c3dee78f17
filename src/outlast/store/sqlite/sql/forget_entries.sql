DELETE FROM transcript WHERE conversation = :conversation AND seq <= :upto;

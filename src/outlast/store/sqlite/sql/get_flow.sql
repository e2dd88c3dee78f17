SELECT {flow} FROM flow WHERE id = :id;

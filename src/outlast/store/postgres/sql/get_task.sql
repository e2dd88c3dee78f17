SELECT {task} FROM task WHERE id = :id;

SELECT {task} FROM task WHERE id >= :prefix AND id < :above ORDER BY id DESC LIMIT :limit;

SELECT {task} FROM task WHERE conversation = :conversation ORDER BY created_at DESC, id DESC LIMIT 1;

SELECT {task} FROM task WHERE session_id = :session_id ORDER BY created_at DESC, id DESC LIMIT 1;

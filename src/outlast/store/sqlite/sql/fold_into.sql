UPDATE system_event SET kind = :kind, text = :text, data = :data WHERE id = :id;

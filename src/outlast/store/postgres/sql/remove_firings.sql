DELETE FROM firing WHERE schedule_id = :schedule_id;

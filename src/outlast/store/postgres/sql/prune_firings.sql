DELETE FROM firing WHERE at < :before AND schedule_id = :schedule_id;

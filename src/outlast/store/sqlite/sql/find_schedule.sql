SELECT {schedule} FROM schedule WHERE name = :schedule_name;

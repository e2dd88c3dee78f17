SELECT {schedule} FROM schedule WHERE id = :id;

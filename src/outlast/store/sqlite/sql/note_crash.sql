UPDATE flow SET crashes = :crashes, crash_seq = :crash_seq WHERE id = :id;

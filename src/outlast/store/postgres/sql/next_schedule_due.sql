SELECT min(next_fire_at) FROM schedule WHERE next_fire_at IS NOT NULL AND next_fire_at > :after;

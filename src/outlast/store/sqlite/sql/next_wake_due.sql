SELECT min(due_at) FROM wake WHERE due_at IS NOT NULL AND due_at > :after;

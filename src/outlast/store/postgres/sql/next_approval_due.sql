SELECT min(expires_at) FROM approval
WHERE status = 'pending' AND expires_at IS NOT NULL AND expires_at > :after;

-- What a flow was at when it ended comes to nothing; what others do for it ends by itself.
UPDATE flow_step SET status = 'cancelled', ended_at = :at
WHERE flow_id = :flow_id AND ref IS NULL AND (status = 'running' OR status = 'queued');

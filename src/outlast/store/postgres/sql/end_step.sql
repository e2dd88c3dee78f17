UPDATE flow_step SET status = 'succeeded', ended_at = :at, result = :result WHERE flow_id = :flow_id AND key = :key;

-- The steps of one flow, sorted: few.
SELECT {step} FROM flow_step WHERE flow_id = :flow_id AND seq > :after ORDER BY seq LIMIT :limit;

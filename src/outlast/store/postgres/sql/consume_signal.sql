UPDATE flow_signal SET step = :step
WHERE id = (
    SELECT min(waiting.id) FROM flow_signal AS waiting
    WHERE waiting.flow_id = :flow_id AND waiting.name = :name AND waiting.step IS NULL
)
RETURNING {signal};

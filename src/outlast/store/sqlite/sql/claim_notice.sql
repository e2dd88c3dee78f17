-- Of several gateways one sends it: whoever moves its moment away from where all have seen it.
UPDATE outbox SET next_at = :until WHERE id = :id AND state = 'pending' AND next_at = :expected RETURNING id;

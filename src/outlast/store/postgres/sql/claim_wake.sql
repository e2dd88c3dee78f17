-- Of several gateways one sends it: whoever moves its moment away from where all have seen it.
UPDATE wake SET due_at = :until WHERE id = :id AND due_at = :expected RETURNING id;

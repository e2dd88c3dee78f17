-- What undid an attempt is forgotten with it: the next one may have to be undone anew.
DELETE FROM flow_step WHERE flow_id = :flow_id
    AND (status <> 'succeeded' OR seq >= :from_seq OR substr(key, 1, 11) = 'compensate:');

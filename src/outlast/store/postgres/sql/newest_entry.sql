SELECT coalesce(max(seq), 0) FROM transcript WHERE conversation = :conversation;

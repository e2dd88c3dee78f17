UPDATE task SET notify = :policy, revision = revision + 1
WHERE id = :id AND notify <> :policy
RETURNING {task};

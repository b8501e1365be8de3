SELECT {place}, activity, approval_id, command_id, digest, reason, failure AS cause, expires_at, statement,
       parameters, kinds, tables, columns, labels, obligations AS requirements, policy_ids, policy_version, reviewer_issuer,
       reviewer_subject, reviewer_name, auth_method, resources, {who}, target, target_kind, database, {call},
       {proof}
FROM events WHERE family = 'approval'

SELECT {place}, activity, approval_id, command_id, reason, expires_at, {who}, target, target_kind, database,
       {proof}
FROM events WHERE family = 'approval'

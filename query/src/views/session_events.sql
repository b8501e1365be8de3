SELECT {place}, activity, outcome, failure AS cause, reason AS message, application, expires_at, approval_id, revocation_id,
       rows, bytes, {who}, target, target_kind, database, {call}, {proof}
FROM events WHERE family = 'session'

SELECT {place}, outcome, failure, reason AS message, auth_method AS method, front,
       {who}, token_id, key_id, expires_at, {proof}
FROM events WHERE family = 'authentication'

SELECT {place}, activity, revocation_id, kinds[1] AS kind, resources[1] AS revoked, reason, expires_at AS until, {who},
       {proof}
FROM events WHERE family = 'revocation'

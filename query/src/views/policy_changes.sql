SELECT {place}, activity, kinds[1] AS kind, resources[1] AS source, policy_version, reason AS error, {who},
       {proof}
FROM events WHERE family = 'policy'

SELECT {place}, outcome AS effect, actions, resources, reason, policy_ids, policy_version, obligations,
       command_id, {who}, target, target_kind, database, {call}, {proof}
FROM events WHERE family = 'decision'

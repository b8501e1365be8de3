SELECT {place}, activity, outcome AS state, kinds[1] AS kind, resources[1] AS source, policy_version,
       reason AS error, call_server AS server, call_tool AS tool, {who}, {proof}
FROM events WHERE family = 'policy'

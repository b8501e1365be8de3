SELECT session_id,
       min(CASE WHEN family = 'session' AND activity = 'opened' THEN time END) AS opened_at,
       max(CASE WHEN family = 'session' AND activity IN ('closed', 'expired', 'revoked', 'lost') THEN time END)
           AS ended_at,
       coalesce(max(CASE WHEN family = 'session' AND activity IN ('closed', 'expired', 'revoked', 'lost')
                         THEN activity END), 'open') AS state,
       max(CASE WHEN family = 'session' AND activity = 'closed' THEN outcome END) AS closed_by,
       max(CASE WHEN family = 'session' THEN failure END) AS cause,
       max(CASE WHEN family = 'session' THEN reason END) AS message,
       max(CASE WHEN family = 'session' AND activity = 'opened' THEN expires_at END) AS expires_at,
       count(DISTINCT CASE WHEN family = 'command' AND activity = 'forwarded' THEN command_id END)
           AS commands,
       count(DISTINCT CASE WHEN family = 'command' AND activity = 'refused' THEN command_id END) AS refused,
       coalesce(max(CASE WHEN family = 'session' THEN rows END),
                sum(CASE WHEN family = 'response' AND activity = 'completed' THEN rows END)) AS rows,
       coalesce(max(CASE WHEN family = 'session' THEN bytes END),
                sum(CASE WHEN family = 'response' AND activity = 'completed' THEN bytes END)) AS bytes,
       max(CASE WHEN family = 'session' AND activity = 'opened' THEN application END) AS application,
       max(principal_issuer) AS principal_issuer, max(principal_subject) AS principal_subject,
       max(principal_name) AS principal_name, max(principal_kind) AS principal_kind,
       max(principal_owner) AS principal_owner, max(actor) AS actor, max(on_behalf_of) AS on_behalf_of,
       max(array_to_string(delegation, ' > ')) AS delegation, max(agent_model) AS agent_model,
       max(agent_name) AS agent_name, max(agent_task) AS agent_task, max(client_ip) AS client_ip,
       max(target) AS target, max(target_kind) AS target_kind, max(database) AS database,
       max(trace_id) AS trace_id, max(call_id) AS call_id, max(call_server) AS call_server,
       max(call_tool) AS call_tool
FROM events
WHERE session_id IS NOT NULL AND family IN ('session', 'command', 'response')
GROUP BY session_id
-- The gateway reads its targets' catalogs under ids of their own, which no session ever opened.
HAVING count(CASE WHEN family = 'session' THEN 1 END) > 0

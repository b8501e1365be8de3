SELECT {place}, command_id, server, tool, arguments, arguments_sha256, definition_sha256, read_only, disposition,
       effect, reason, policy_ids, policy_version, obligations, approval_id, approved_by, status, bytes, masked_values,
       findings, duration_us, {who}, {proof}
FROM (SELECT {place}, command_id, call_server AS server, call_tool AS tool, statement AS arguments,
             statement_sha256 AS arguments_sha256, command_definition_sha256 AS definition_sha256, read_only,
             activity AS disposition, {who}, {proof}
      FROM events WHERE family = 'command' AND phase = 'call' AND coalesce(chunk, 0) = 0) c
-- What was paused first was decided again: the last decision is the one that counts.
LEFT JOIN (SELECT command_id AS decided_id, last_value(outcome ORDER BY time, log_offset) AS effect,
                  last_value(reason ORDER BY time, log_offset) AS reason,
                  last_value(policy_ids ORDER BY time, log_offset) AS policy_ids,
                  last_value(policy_version ORDER BY time, log_offset) AS policy_version,
                  last_value(obligations ORDER BY time, log_offset) AS obligations
           FROM events WHERE family = 'decision' AND call_id = command_id
           GROUP BY command_id) d ON decided_id = command_id
LEFT JOIN (SELECT command_id AS answered_id, outcome AS status, bytes, masked_values, findings, duration_us
           FROM events WHERE family = 'response' AND activity = 'completed' AND call_id = command_id) r
       ON answered_id = command_id
LEFT JOIN (SELECT asked.command_id AS asked_id, max(asked.approval_id) AS approval_id,
                  string_agg(DISTINCT granted.reviewer_name, ', ') AS approved_by
           FROM (SELECT approval_id, command_id FROM events
                 WHERE family = 'approval' AND activity IN ('requested', 'used')) asked
           LEFT JOIN (SELECT approval_id, reviewer_name FROM events
                      WHERE family = 'approval' AND activity = 'granted') granted
                  ON granted.approval_id = asked.approval_id
           WHERE asked.command_id IS NOT NULL
           GROUP BY asked.command_id) a ON asked_id = command_id

SELECT {place}, command_id AS query_id, activity, face, statement AS sql, tables AS relations, snapshot_version,
       rows, duration_us, reason, {who}, {proof}
FROM events WHERE family = 'query'

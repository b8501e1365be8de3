SELECT {place}, command_id, activity, outcome AS status, tag, sqlstate, rows, bytes, tables, columns, labels,
       masked_columns, masked_values, recording, chunk, chunks, duration_us, findings, wire_bytes, wire_sha256,
       content_sha256, {who}, target, target_kind, database, {call}, {proof}
FROM events WHERE family = 'response'

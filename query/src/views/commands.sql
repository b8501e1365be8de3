SELECT {place}, command_id, activity AS disposition, phase, statement, fingerprint, statement_sha256, kinds,
       tables, columns, functions, labels, read_only, opaque, parameters, prepared, portal, chunk,
       wire_bytes, wire_sha256, content_sha256, command_definition_sha256 AS definition_sha256, {who}, target, target_kind, database, {call}, {proof}
FROM events WHERE family = 'command'

SELECT time, event_id, activity, outcome, reason, key_id, {proof}
FROM events WHERE family = 'integrity'

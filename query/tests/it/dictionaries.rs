//! Groups and filters by texts are those that the texts themselves give, though they are computed in dictionaries.

use serde_json::{Value, json};

use crate::places::everywhere;
use crate::world::World;

/// The files' dictionaries are used.
const BY_NUMBER: bool = true;
/// They are not: something else looks at the text, or hardly two rows share one.
const AS_IT_IS: bool = false;
/// What is grouped by, and what of: `$` is a column as it is, or the same behind a function that the service does not
/// look through.
const QUESTIONS: [(bool, &str); 25] = [
    (
        BY_NUMBER,
        "SELECT $principal_subject, count(*), sum(bytes), max(log_offset) FROM events WHERE $W GROUP BY 1",
    ),
    (
        BY_NUMBER,
        "SELECT $family, $activity, $outcome, count(*) FROM events WHERE $W GROUP BY 1, 2, 3",
    ),
    (
        BY_NUMBER,
        "SELECT $family, log_offset % 3, $reason, count(*) FROM events WHERE $W GROUP BY 1, 2, 3",
    ),
    (BY_NUMBER, "SELECT DISTINCT $target, $actor FROM events WHERE $W"),
    (BY_NUMBER, "SELECT $target, count(*) FROM events WHERE family = 'command' AND $W GROUP BY 1"),
    (BY_NUMBER, "SELECT $call_tool, $call_server, count(*) FROM events WHERE $W GROUP BY 1, 2"),
    (
        AS_IT_IS,
        "SELECT $call_tool, count(call_id) FROM events WHERE call_tool = 'merge' AND $W GROUP BY 1",
    ),
    (
        BY_NUMBER,
        "SELECT $family, count(DISTINCT principal_subject), min(target) FROM events WHERE $W GROUP BY 1",
    ),
    (
        BY_NUMBER,
        "SELECT $family, count(*) FILTER (WHERE outcome = 'deny'), max(time) FROM events WHERE $W GROUP BY 1",
    ),
    (AS_IT_IS, "SELECT $family, max(family), count(family) FROM events WHERE $W GROUP BY 1"),
    (
        AS_IT_IS,
        "SELECT $family, array_agg(log_offset ORDER BY log_offset) FROM events WHERE $W GROUP BY 1",
    ),
    (
        BY_NUMBER,
        "SELECT $t, count(*), sum(rows) FROM (SELECT unnest(tables) AS t, rows FROM events WHERE $W) u GROUP BY 1",
    ),
    (
        BY_NUMBER,
        "SELECT $t, $principal_subject, min(time) FROM (SELECT unnest(columns) AS t, principal_subject, time FROM events WHERE family = 'response' AND $W) u GROUP BY 1, 2",
    ),
    (
        BY_NUMBER,
        "SELECT $t, $u, count(*) FROM (SELECT unnest(tables) AS t, unnest(columns) AS u FROM events WHERE $W) u GROUP BY 1, 2",
    ),
    (
        AS_IT_IS,
        "SELECT $t, $l, count(*) FROM (SELECT unnest(tables) AS t, tables[1] AS l FROM events WHERE $W) u GROUP BY 1, 2",
    ),
    (
        AS_IT_IS,
        "SELECT $who, $also, count(*) FROM (SELECT principal_subject AS who, principal_subject AS also FROM events WHERE $W) t GROUP BY 1, 2",
    ),
    (
        AS_IT_IS,
        "SELECT $who, count(*) FROM (SELECT principal_subject AS who, upper(principal_subject) AS loud FROM events WHERE $W) t WHERE loud LIKE 'B%' GROUP BY 1",
    ),
    (
        BY_NUMBER,
        "SELECT $family, count(*) FROM (SELECT family FROM events WHERE $W UNION ALL SELECT activity FROM events WHERE $W) t GROUP BY 1",
    ),
    (
        AS_IT_IS,
        "SELECT $family, count(*) FROM (SELECT family, log_offset FROM events WHERE $W ORDER BY log_offset LIMIT 7) t GROUP BY 1",
    ),
    (
        AS_IT_IS,
        "SELECT $b, count(*) FROM (SELECT b.family AS b FROM events a JOIN events b ON a.session_id = b.session_id WHERE a.$W AND b.$W) t GROUP BY 1",
    ),
    (
        AS_IT_IS,
        "SELECT $family, $activity, count(*) FROM events WHERE $W GROUP BY ROLLUP($family, $activity)",
    ),
    (
        BY_NUMBER,
        "SELECT max(n), count(*) FROM (SELECT $principal_subject, count(*) AS n FROM events WHERE $W GROUP BY 1) t",
    ),
    (AS_IT_IS, "SELECT $session_id, count(*) FROM events WHERE $W GROUP BY 1"),
    (
        AS_IT_IS,
        "SELECT $family, array_sort(array_agg(log_offset ORDER BY outcome)) FROM events WHERE outcome = 'deny' AND $W GROUP BY 1",
    ),
    (AS_IT_IS, "SELECT upper(family), count(*) FROM events WHERE $W GROUP BY 1"),
];

/// Columns that only a filter looks at, or nothing: the answers are compared by [`crate::filters`].
const FILTERED: [(bool, &str); 14] = [
    (BY_NUMBER, "SELECT count(*) FROM events WHERE array_has(columns, 'app.employees.ssn')"),
    (
        BY_NUMBER,
        "SELECT log_offset FROM events WHERE NOT array_has(tables, 'a') OR family = 'command'",
    ),
    (AS_IT_IS, "SELECT columns FROM events WHERE array_has(columns, 'app.employees.ssn')"),
    (
        AS_IT_IS,
        "SELECT count(*) FROM events WHERE array_has(tables, 'a') AND cardinality(tables) > 1",
    ),
    (AS_IT_IS, "SELECT count(*) FROM events WHERE array_has(tables, target)"),
    (BY_NUMBER, "SELECT count(*) FROM events WHERE family = 'command'"),
    (BY_NUMBER, "SELECT log_offset FROM events WHERE 'deny' <> outcome OR bytes > 3"),
    (AS_IT_IS, "SELECT family FROM events WHERE family = 'command'"),
    (AS_IT_IS, "SELECT log_offset FROM events WHERE family LIKE 'com%'"),
    (AS_IT_IS, "SELECT log_offset FROM events WHERE family = activity"),
    (AS_IT_IS, "SELECT log_offset FROM events WHERE family = 'session' AND family > 'a'"),
    // Without a filter the scan itself gives a column twice, or looks at it.
    (
        AS_IT_IS,
        "SELECT who, also, count(*) FROM (SELECT principal_subject AS who, principal_subject AS also FROM events) t GROUP BY 1, 2",
    ),
    (
        AS_IT_IS,
        "SELECT who, loud, count(*) FROM (SELECT principal_subject AS who, upper(principal_subject) AS loud FROM events) t GROUP BY 1, 2",
    ),
    // What is found first lets it skip files, which then are not to be opened for what their columns are.
    (AS_IT_IS, "SELECT time FROM events WHERE array_has(tables, 'a') ORDER BY time LIMIT 5"),
];

/// The greatest and least texts of groups, and which columns are dictionaries for it.
const EXTREMES: [(&str, &str); 13] = [
    (
        "failure, principal_subject, target",
        "SELECT session_id, max($principal_subject), min($target), max($failure) FROM events WHERE $W GROUP BY 1",
    ),
    (
        "activity, target",
        "SELECT session_id, max($target), max(CASE WHEN activity = 'opened' THEN 1 ELSE 0 END), count(*) FILTER (WHERE activity <> 'opened') FROM events WHERE $W GROUP BY 1",
    ),
    (
        "family, target",
        "SELECT $family, max($target), min($target), max(statement) FROM events WHERE $W GROUP BY 1",
    ),
    (
        "outcome, target",
        "SELECT session_id, min($target) FILTER (WHERE outcome = 'deny') FROM events WHERE $W GROUP BY 1",
    ),
    (
        "target",
        "SELECT session_id FROM events WHERE $W GROUP BY session_id HAVING max($target) > 'm' AND min($target) < 'z'",
    ),
    (
        "target",
        "SELECT session_id, max($target) AS m FROM events WHERE $W GROUP BY 1 ORDER BY m DESC, 1 LIMIT 3",
    ),
    // The first of them are told to the scan while the question runs: they skip no file, but look at the column.
    (
        "target",
        "SELECT session_id, max($target) FROM events WHERE $W GROUP BY 1 ORDER BY session_id LIMIT 3",
    ),
    ("target", "SELECT $outcome, max($target) FROM events WHERE $W GROUP BY 1 ORDER BY 1 LIMIT 3"),
    ("", "SELECT session_id, max($target), count(target) FROM events WHERE $W GROUP BY 1"),
    ("", "SELECT session_id, max($statement), min($statement) FROM events WHERE $W GROUP BY 1"),
    ("", "SELECT max($target), min($target) FROM events WHERE $W"),
    ("", "SELECT session_id, max($target) FROM events WHERE $W GROUP BY ROLLUP(session_id)"),
    ("", "SELECT session_id, max($target) FROM events WHERE target LIKE 'p%' AND $W GROUP BY 1"),
];

/// `question` of what is before `upto`, each column that is marked between `before` and `after`.
fn asked(question: &str, upto: u64, before: &str, after: &str) -> String {
    let upto = format!("log_offset < {upto}");
    let mut asked = String::new();
    for (index, part) in question.replace("$W", &upto).split('$').enumerate() {
        let end = part.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let (name, rest) = part.split_at(end.unwrap_or(part.len()));
        asked += &match index {
            0 => part.to_owned(),
            _ => format!("{before}{name}{after}{rest}"),
        };
    }
    asked
}

/// Whether `question` has rows, and how it is computed. What it answers is what the texts themselves give.
async fn compared_one(world: &World, place: &str, question: &str, upto: u64) -> (bool, String) {
    let plain = asked(question, upto, "", "");
    let behind = asked(question, upto, "reverse(reverse(", "))");
    let sorted = |mut rows: Vec<Value>| {
        rows.sort_by_key(Value::to_string);
        rows
    };
    let rows = world.rows(&plain).await;
    let has_rows = !rows.is_empty();
    assert_eq!(sorted(rows), sorted(world.rows(&behind).await), "{place}: {question}");
    let plan = world.rows(&format!("EXPLAIN {plain}")).await;
    (has_rows, json!(plan).to_string())
}

async fn compared(world: &World, place: &str) {
    let upto = world.latest(0).await;
    let read_by_us = ["a lake", "files"].iter().any(|ours| place.contains(ours));
    let mut answered = 0;
    for (dictionaries, question) in QUESTIONS {
        let (has_rows, plan) = compared_one(world, place, question, upto).await;
        answered += usize::from(has_rows);
        let by_number = plan.contains("TextsToNumbers");
        assert_eq!(by_number, dictionaries && read_by_us, "{place}: {question}");
    }
    for (columns, question) in EXTREMES {
        let (has_rows, plan) = compared_one(world, place, question, upto).await;
        answered += usize::from(has_rows);
        let read = plan.contains("dictionaries=[");
        assert_eq!(read, read_by_us && !columns.is_empty(), "{place}: {question}");
        let named = plan.contains(&format!("dictionaries=[{columns}]"));
        assert!(!read || named, "{place}: {question}: {plan}");
    }
    for (dictionaries, question) in FILTERED {
        let plan = world.rows(&format!("EXPLAIN {question}")).await;
        let read = json!(plan).to_string().contains("dictionaries=[");
        assert_eq!(read, dictionaries && read_by_us, "{place}: {question}");
    }
    assert!(answered > 29, "{place}: {answered} of the questions have rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_read_from_dictionaries_is_the_same() {
    everywhere(compared).await;
}

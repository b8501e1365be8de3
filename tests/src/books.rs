//! Three sets of books and their comparison.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde_json::Value;
use tallyport_tests::{Stack, eventually};

/// What PostgreSQL executed and what the agents received, by mark.
#[derive(Default)]
pub struct Books {
    executed: BTreeSet<String>,
    received: BTreeSet<String>,
}

impl Books {
    pub fn received(&mut self, marks: BTreeSet<String>) {
        self.received.extend(marks);
    }

    /// Takes the marks of all statements that PostgreSQL's own log says it got.
    pub fn executed(&mut self, log: &Path) {
        let text = std::fs::read(log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default();
        let statements = text.lines().filter(|line| line.contains("SELECT 'mark-"));
        self.executed.extend(statements.filter_map(mark_of));
    }

    /// Every statement executed has its intent event, every row received its outcome event, the lake has every event
    /// exactly once and without an unexplained gap.
    pub fn compare(&self, stack: &Stack) {
        assert!(
            self.executed.len() > 50 && self.received.len() > 50,
            "too little load to mean anything: {self}"
        );
        let intents = marks(
            stack,
            "SELECT statement FROM commands WHERE disposition = 'forwarded' AND statement LIKE 'SELECT ''mark-%'",
        );
        let unrecorded: Vec<_> = self.executed.difference(&intents).take(5).collect();
        assert!(unrecorded.is_empty(), "executed without an intent event: {unrecorded:?}");
        let outcomes = marks(
            stack,
            "SELECT c.statement FROM commands c JOIN responses r ON c.command_id = r.command_id \
             WHERE c.statement LIKE 'SELECT ''mark-%'",
        );
        let unrecorded: Vec<_> = self.received.difference(&outcomes).take(5).collect();
        assert!(unrecorded.is_empty(), "received without an outcome event: {unrecorded:?}");
        lake_is_exact(stack);
    }
}

/// The recorder has caught up, every event is in the lake once, offsets and sequences have no hole.
fn lake_is_exact(stack: &Stack) {
    let sums = || {
        let sql = "SELECT count(*) AS n, count(DISTINCT event_id) AS ids, count(DISTINCT log_offset) AS offsets \
                   FROM events WHERE family <> 'query'";
        stack.sql("auditor", sql).first().cloned().unwrap_or_default()
    };
    let number = |row: &Value, key: &str| row.get(key).and_then(Value::as_i64).unwrap_or_default();
    let row = sums();
    assert_eq!(number(&row, "n"), number(&row, "ids"), "an event is in the lake twice: {row}");
    assert_eq!(
        number(&row, "n"),
        number(&row, "offsets"),
        "a log record is in the lake twice: {row}"
    );
    let holes = "SELECT producer_id, producer_epoch, count(*) AS n, max(producer_seq) + 1 AS due FROM events \
                 GROUP BY producer_id, producer_epoch HAVING count(*) <> max(producer_seq) + 1";
    // The question itself is an event that may be in between: a hole must last to count.
    assert!(
        eventually(|| stack.sql("auditor", holes).is_empty()),
        "sequences have holes: {:?}",
        stack.sql("auditor", holes)
    );
}

fn marks(stack: &Stack, sql: &str) -> BTreeSet<String> {
    stack
        .sql("auditor", sql)
        .iter()
        .filter_map(|row| row.get("statement")?.as_str().and_then(mark_of))
        .collect()
}

/// `mark-ROUND-AGENT-NUMBER` out of a statement's text.
fn mark_of(text: &str) -> Option<String> {
    let from = text.get(text.find("'mark-")? + 1..)?;
    from.get(..from.find('\'')?).map(|mark| mark.trim_end_matches('-').to_owned())
}

impl fmt::Display for Books {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} statements executed, {} answers received",
            self.executed.len(),
            self.received.len()
        )
    }
}

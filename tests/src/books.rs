//! Three sets of books and their comparison.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde_json::Value;

use crate::eventually;

/// One who answers audit questions in SQL.
pub type Ask<'a> = &'a dyn Fn(&str) -> Vec<Value>;

/// What PostgreSQL executed and what the agents received, by mark.
#[derive(Debug, Default)]
pub struct Books {
    executed: BTreeSet<String>,
    received: BTreeSet<String>,
}

impl Books {
    /// Takes the marks of rows that the agents received.
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
    /// exactly once, and no number of a producer is missing but among the last `in_flight` of its epoch.
    ///
    /// A log of one partition takes a group of events whole or not at all: there `in_flight` is 0. Where a group goes
    /// to several partitions, a producer that is killed leaves a part of its last one, of which nothing has passed.
    pub fn compare(&self, ask: Ask<'_>, in_flight: u64) {
        assert!(
            self.executed.len() > 50 && self.received.len() > 50,
            "too little load to mean anything: {self}"
        );
        let intents = marks(
            ask,
            "SELECT statement FROM commands WHERE disposition = 'forwarded' AND statement LIKE 'SELECT ''mark-%'",
        );
        let unrecorded: Vec<_> = self.executed.difference(&intents).take(5).collect();
        assert!(unrecorded.is_empty(), "executed without an intent event: {unrecorded:?}");
        let outcomes = marks(
            ask,
            "SELECT c.statement FROM commands c JOIN responses r ON c.command_id = r.command_id \
             WHERE c.statement LIKE 'SELECT ''mark-%'",
        );
        let unrecorded: Vec<_> = self.received.difference(&outcomes).take(5).collect();
        assert!(unrecorded.is_empty(), "received without an outcome event: {unrecorded:?}");
        lake_is_exact(ask, in_flight);
    }
}

/// Every event is there once, and offsets and numbers have no hole.
fn lake_is_exact(ask: Ask<'_>, in_flight: u64) {
    let sql = "SELECT count(*) AS n, count(DISTINCT event_id) AS ids, \
               count(DISTINCT CAST(log_partition AS VARCHAR) || '/' || CAST(log_offset AS VARCHAR)) AS places \
               FROM events WHERE family <> 'query'";
    let row = ask(sql).first().cloned().unwrap_or_default();
    let number = |key: &str| row.get(key).and_then(Value::as_i64).unwrap_or_default();
    assert_eq!(number("n"), number("ids"), "an event is in the lake twice: {row}");
    assert_eq!(number("n"), number("places"), "a log record is in the lake twice: {row}");
    let holes = format!(
        "SELECT producer_id, producer_epoch, min(producer_seq) AS first_behind, max(last) AS last FROM \
         (SELECT producer_id, producer_epoch, producer_seq, \
          row_number() OVER (PARTITION BY producer_id, producer_epoch ORDER BY producer_seq) AS due, \
          max(producer_seq) OVER (PARTITION BY producer_id, producer_epoch) AS last FROM events) AS numbered \
         WHERE producer_seq + 1 <> due AND producer_seq + {in_flight} <= last GROUP BY producer_id, producer_epoch"
    );
    // The question itself is an event that may be in between: a hole must last to count.
    assert!(eventually(|| ask(&holes).is_empty()), "sequences have holes: {:?}", ask(&holes));
}

fn marks(ask: Ask<'_>, sql: &str) -> BTreeSet<String> {
    ask(sql).iter().filter_map(|row| row.get("statement")?.as_str().and_then(mark_of)).collect()
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

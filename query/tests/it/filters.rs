//! A filter that the scan of a file asks leaves the rows that it leaves above all scans, wherever the rows are.

use crate::places::everywhere;
use crate::world::World;

/// Of every kind that scans treat in a way of their own: lists, columns that a file lacks or a day has, parts of times,
/// what needs no column at all.
const FILTERS: [&str; 36] = [
    "family = 'response'",
    "family <> 'response' OR bytes > 10",
    "family IN ('command', 'session') AND target IS NOT NULL",
    "principal_subject LIKE 'bot%' OR actor IS NOT NULL",
    "reverse(family) = 'dnammoc'",
    "columns IS NULL",
    "columns IS NOT NULL AND family = 'response'",
    "array_has(columns, 'app.employees.ssn')",
    "NOT array_has(columns, 'app.employees.ssn')",
    "array_has_any(tables, ['app.employees', 'app.orders'])",
    "array_has(tables, 'app.employees') IS NULL",
    "cardinality(columns) > 1",
    "columns[1] = 'app.employees.ssn'",
    "array_has(columns, target)",
    "call_id IS NULL",
    "call_id IS NOT NULL",
    "call_id IS NOT NULL AND command_id <> call_id",
    "call_tool = 'merge'",
    "coalesce(call_tool, 'none') = 'none' AND family = 'command'",
    "call_tool = 'merge' OR family = 'decision'",
    "findings IS NULL",
    "command_definition_sha256 IS NULL AND family = 'command'",
    "ingest_date > DATE '2000-01-01'",
    "ingest_date < DATE '2000-01-01'",
    "ingest_date IS NULL OR log_offset % 2 = 0",
    "date_part('hour', time) < 12",
    "time > TIMESTAMP '2024-03-02T00:00:00Z' AND log_offset % 3 = 1",
    "rows IS NULL OR rows > 1",
    "bytes + rows > 3",
    "CASE WHEN family = 'response' THEN bytes > 1 ELSE call_id IS NULL END",
    "session_id IN (SELECT session_id FROM events WHERE family = 'session')",
    "ingest_date IS NULL OR cardinality(tables) > 2",
    "array_has(findings, 'x') OR cardinality(tables) > 5",
    "1 = 0",
    "NULL",
    "random() >= 0.0 AND family = 'command'",
];

/// Rows by a filter in the scan, and by the same above it: nothing is pushed through a limit.
async fn compared(world: &World, place: &str) {
    let upto = world.latest(0).await;
    let mut found = Vec::new();
    for filter in FILTERS {
        let scanned = format!(
            "SELECT log_offset FROM events WHERE ({filter}) AND log_offset < {upto} ORDER BY log_offset"
        );
        let above = format!(
            "SELECT log_offset FROM (SELECT log_offset, ({filter}) AS kept FROM (SELECT * FROM events LIMIT 1000000) e) k
             WHERE kept AND log_offset < {upto} ORDER BY log_offset"
        );
        let rows = world.rows(&scanned).await;
        assert_eq!(rows, world.rows(&above).await, "{place}: {filter}");
        found.push(rows.len());
    }
    let some = found.iter().filter(|rows| (1..upto as usize).contains(*rows)).count();
    assert!(some > 15, "{place}: the filters tell hardly anything apart: {found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_leaves_the_rows_that_the_filter_leaves() {
    everywhere(compared).await;
}

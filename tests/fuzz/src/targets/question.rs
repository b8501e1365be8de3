//! Questions to the query service, before they are planned: what passes is a question, and asks for the rows that its text names.

use std::sync::LazyLock;
use std::thread;

use tallyport_query::fuzz::{Questions, named};

/// Words of the grammar, names of the views, and what is rewritten for clients.
pub const WORDS: &[&[u8]] = &[
    b"SELECT ",
    b" FROM events e",
    b" FROM commands",
    b"responses",
    b"\"EVENTS\"",
    b"public.sessions",
    b"pg_catalog.pg_class c",
    b"information_schema.columns",
    b" WHERE ",
    b" JOIN LATERAL (",
    b"WITH x AS (",
    b"(SELECT count(*) FROM events WHERE x = v.x)",
    b" UNION ALL ",
    b"EXPLAIN ANALYZE ",
    b"INSERT INTO events ",
    b"DELETE FROM events",
    b" INTO t ",
    b" FOR UPDATE",
    b"COPY events TO '/tmp/x'",
    b"SET x = ",
    b"SHOW ",
    b"::regclass",
    b" = ANY(",
    b"ARRAY[",
    b" COLLATE pg_catalog.\"default\"",
    b" OPERATOR(pg_catalog.~) ",
    b"E'\\",
    b"U&'",
    b"$$",
    b"$1",
    b"/*",
    b"--",
    b";",
    b" AS version",
    b" LIKE '%",
    b" IS NOT DISTINCT FROM ",
    b"((((((((((((((((",
    b"NOT NOT NOT NOT ",
    b"CASE WHEN ",
];

/// As the threads of the service have: a plan is walked level by level.
const STACK_BYTES: usize = 64 * 1024 * 1024;

static QUESTIONS: LazyLock<Questions> = LazyLock::new(Questions::new);

/// Questions of auditors, of psql and drivers, and what is none.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "",
        "SELECT principal, count(*) FROM commands WHERE ingest_date = '2026-01-01' GROUP BY 1 ORDER BY 2 DESC",
        "WITH a AS (SELECT * FROM events) SELECT a.time FROM a JOIN responses r ON r.command_id = a.command_id",
        "SELECT (SELECT count(*) FROM events e WHERE e.family = v.f) FROM (VALUES ('a')) AS v (f)",
        "EXPLAIN SELECT * FROM sessions LIMIT 1",
        "SELECT c.relname, n.nspname FROM pg_catalog.pg_class c LEFT JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind IN ('r','v','') ORDER BY 1",
        "SELECT n.nspname AS \"Schema\", pg_catalog.format_type(a.atttypid, a.atttypmod), (SELECT substring(pg_catalog.pg_get_expr(d.adbin, d.adrelid, true) for 128) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = a.attrelid) FROM pg_catalog.pg_attribute a",
        "SELECT t.typname, (SELECT count(*) FROM events) FROM pg_catalog.pg_type AS t",
        "SELECT version(), current_schema(), 'x'::regclass, 1 = ANY(ARRAY[1, 2])",
        "BEGIN; SET application_name = 'x'; SHOW server_version; COMMIT",
        "INSERT INTO events SELECT * FROM events",
        "WITH d AS (DELETE FROM events RETURNING *) SELECT * FROM d",
        "SELECT 1 INTO t FROM commands",
        "SELECT * FROM approvals WHERE comment LIKE '%x' ESCAPE '!' FOR UPDATE",
        "COPY (SELECT * FROM events) TO '/tmp/x'",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Reads a text as both faces do.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    thread::scope(|scope| {
        let reading = thread::Builder::new().stack_size(STACK_BYTES);
        let read = reading.spawn_scoped(scope, || read(text)).expect("a thread");
        if let Err(panic) = read.join() {
            std::panic::resume_unwind(panic);
        }
    });
}

fn read(text: &str) {
    let Some(statements) = QUESTIONS.read(text) else { return };
    assert_eq!(QUESTIONS.read(text).as_ref(), Some(&statements), "read twice it is another");
    for statement in statements.iter().filter(|statement| statement.is_asked) {
        let verb = statement.text.split_whitespace().next().unwrap_or_default();
        let verb = verb.trim_start_matches('(');
        let asks = ["SELECT", "WITH", "VALUES", "EXPLAIN", "DESCRIBE", "DESC", "TABLE", "FROM"];
        assert!(verb.is_empty() || asks.contains(&verb), "`{verb}` is no question");
    }
    // What is made up for clients that look at the catalog never takes the place of what is asked of events.
    if let Some(named) = named(text) {
        let asked: Vec<_> = named.into_iter().filter(|rows| !rows.is_empty()).collect();
        let read: Vec<_> =
            statements.iter().map(|it| &it.rows).filter(|it| !it.is_empty()).collect();
        assert!(asked.iter().eq(read), "`{text}` names other rows than it is read with");
    }
}

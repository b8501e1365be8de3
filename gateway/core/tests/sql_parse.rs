//! From text to tree, within bounds, on any stack.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

use gateway_core::sql::Parsed;
use proptest::prelude::*;
use tallyport_schemas::StatementKind;

#[test]
fn texts_and_what_they_are() {
    let parsed = Parsed::parse("SELECT 1; UPDATE t SET a = 1; -- c\n ;").unwrap();
    assert_eq!(parsed.statement_count(), 2);
    assert_eq!(parsed.kinds(), [StatementKind::Select, StatementKind::Update]);
    assert_eq!(parsed.fingerprint().map(str::len), Some(16));
    assert_eq!(
        Parsed::parse("SELECT 1").unwrap().fingerprint(),
        Parsed::parse("select   2").unwrap().fingerprint()
    );
    for empty in ["", "  ", ";", "-- nothing", "/* nothing */ ;;"] {
        let parsed = Parsed::parse(empty).unwrap();
        assert_eq!(
            (parsed.statement_count(), parsed.kinds()),
            (0, vec![StatementKind::Empty]),
            "{empty}"
        );
        assert_eq!(parsed.fingerprint(), None);
    }
}

#[test]
fn kinds_of_statements() {
    use StatementKind as K;
    let cases = [
        ("TABLE t", K::Select),
        ("VALUES (1)", K::Select),
        ("SELECT 1 INTO t", K::Ddl),
        ("(SELECT 1 INTO t) UNION SELECT 2", K::Ddl),
        ("COPY t FROM STDIN", K::CopyIn),
        ("COPY t TO STDOUT", K::CopyOut),
        ("TRUNCATE t", K::Truncate),
        ("CREATE TABLE t ()", K::Ddl),
        ("GRANT SELECT ON t TO r", K::Ddl),
        ("SET a.b = 1", K::Set),
        ("RESET ALL", K::Set),
        ("DISCARD ALL", K::Set),
        ("SHOW a", K::Show),
        ("BEGIN", K::Transaction),
        ("ROLLBACK TO a", K::Transaction),
        ("FETCH c", K::Cursor),
        ("CLOSE c", K::Cursor),
        ("PREPARE p AS SELECT 1", K::Prepare),
        ("EXECUTE p", K::Prepare),
        ("DEALLOCATE p", K::Prepare),
        ("EXPLAIN SELECT 1", K::Explain),
        ("DO ''", K::Call),
        ("CALL p()", K::Call),
        ("VACUUM", K::Maintenance),
        ("ANALYZE", K::Maintenance),
        ("CHECKPOINT", K::Maintenance),
        ("REINDEX TABLE t", K::Maintenance),
        ("REFRESH MATERIALIZED VIEW v", K::Maintenance),
        ("LISTEN x", K::Notify),
        ("NOTIFY x", K::Notify),
        ("UNLISTEN *", K::Notify),
        ("LOCK t", K::Lock),
        ("MERGE INTO t USING u ON true WHEN MATCHED THEN DELETE", K::Merge),
        ("ALTER SYSTEM SET a = 1", K::Ddl),
        ("LOAD 'x'", K::Ddl),
        ("CREATE DATABASE d", K::Ddl),
        ("DROP ROLE r", K::Ddl),
    ];
    for (sql, kind) in cases {
        assert_eq!(Parsed::parse(sql).unwrap().kinds(), [kind], "{sql}");
    }
}

#[test]
fn what_is_no_statement_is_an_error_with_a_place() {
    let error = Parsed::parse("SELECT * form t").unwrap_err();
    assert_eq!(
        (error.message.as_str(), error.position),
        ("syntax error at or near \"form\"", Some(10))
    );
    let error = Parsed::parse("SELECT 1 x x").unwrap_err();
    assert_eq!(
        (error.message.as_str(), error.position),
        ("syntax error at or near \"x\"", None),
        "x occurs twice"
    );
    let error = Parsed::parse("SELECT 1 wher 2").unwrap_err();
    assert_eq!(
        (error.message.as_str(), error.position),
        ("syntax error at or near \"2\"", Some(15))
    );
    let error = Parsed::parse("SELECT 'ä', (").unwrap_err();
    assert_eq!(
        (error.message.as_str(), error.position),
        ("syntax error at end of input", Some(14))
    );
    for bad in ["SELECT 'open", "SELECT \"\"", "SELECT \0", "SELECT 1\0; DROP TABLE t"] {
        assert!(Parsed::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn long_texts_are_bounded() {
    let values = vec!["(1,'x')"; 20_000].join(",");
    assert!(Parsed::parse(&format!("INSERT INTO t VALUES {values}")).is_ok());
    let too_long = format!("SELECT '{}'", "x".repeat(Parsed::MAX_BYTES));
    assert!(Parsed::parse(&too_long).unwrap_err().message.contains("over the limit"));
}

/// Each way to nest, deep enough to overflow any stack that is not guarded: an error or a tree, never a crash.
#[test]
fn deep_texts_are_refused_on_a_small_stack() {
    let deep = |n: usize| {
        [
            format!("SELECT {}", vec!["1"; n].join("+")),
            format!("SELECT {}1{}", "(".repeat(n), ")".repeat(n)),
            format!("SELECT {}1{}", "f(".repeat(n), ")".repeat(n)),
            format!("SELECT {}1", "- ".repeat(n)),
            format!("SELECT {} true", "NOT ".repeat(n)),
            format!("SELECT {}1{}", "(SELECT ".repeat(n), ")".repeat(n)),
            format!("SELECT {}", vec!["a=1"; n].join(" OR ")),
            format!("SELECT * FROM t{}", " JOIN u ON true".repeat(n)),
            vec!["SELECT 1"; n].join(" UNION "),
            format!("SELECT {}1{}", "CASE WHEN true THEN ".repeat(n), " END".repeat(n)),
            format!("SELECT {}1{}", "ARRAY[".repeat(n), "]".repeat(n)),
            format!("SELECT 1{}", "::int".repeat(n)),
            format!("SELECT a{}", "[1]".repeat(n)),
        ]
    };
    let check = move || {
        for n in [40, 400] {
            for text in deep(n) {
                let parsed = Parsed::parse(&text)
                    .unwrap_or_else(|error| panic!("{n}: {}: {error}", &text[..40]));
                assert!(parsed.fingerprint().is_some());
            }
        }
        for text in deep(50_000) {
            if let Err(error) = Parsed::parse(&text) {
                assert_eq!(error.message, "statement is nested more than 2000 levels deep");
            }
        }
    };
    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(check).unwrap().join().unwrap();
}

proptest! {
    /// Nothing that is no statement brings the parser down.
    #[test]
    fn any_text_is_a_tree_or_an_error(text in "\\PC{0,200}") {
        let _ = Parsed::parse(&text);
    }

    #[test]
    fn any_tokens_are_a_tree_or_an_error(
        tokens in proptest::collection::vec(proptest::sample::select(vec![
            "SELECT", "FROM", "WHERE", "(", ")", ",", "*", "a", "\"B\"", "1", "'x'", "U&\"\\0061\"", "$1", "AND", "OR", "NOT", "::",
            ".", "=", "UNION", "WITH", "AS", "JOIN", "ON", "INSERT", "INTO", "VALUES", "UPDATE", "SET", ";", "[", "]", "CASE",
            "WHEN", "THEN", "END", "LATERAL", "$$", "E'\\''", "--\n", "/*", "*/",
        ]), 0..40)
    ) {
        if let Ok(parsed) = Parsed::parse(&tokens.join(" ")) {
            let _ = (parsed.kinds(), parsed.fingerprint());
        }
    }
}

//! What is changed elsewhere: rows that masked columns refer to, and settings and roles by which names mean something else.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod verdict_support;

use verdict_support::{Bench, OPEN_BUT_MASKED, catalog_with, oid};

/// What a masked column refers to tells of it by what goes away with it, or does not.
#[test]
fn what_a_masked_column_refers_to_stays_as_it_is() {
    let (notes, refers, orders) = (oid("notes"), oid("refers"), oid("orders"));
    // A column of refers refers to notes, and that to orders.
    let catalog = catalog_with(&[
        ("foreign_keys", &[&refers, &notes, "1", "2"]),
        ("foreign_keys", &[&notes, &orders, "1", "1"]),
    ]);
    let labels = "[columns]\n\"app.refers.ssn\" = \"secret\"\n";
    let bench = Bench::over(catalog, OPEN_BUT_MASKED, labels, &["agents"], "sample");
    for sql in [
        "DELETE FROM notes WHERE id = 1",
        "UPDATE notes SET id = 2 WHERE id = 1",
        "TRUNCATE notes CASCADE",
        "DELETE FROM orders WHERE id = 1",
        "MERGE INTO notes n USING orders o ON n.id = o.id WHEN MATCHED THEN DELETE",
    ] {
        bench.refuses(sql, "which a masked column refers to");
    }
    bench.allows("INSERT INTO notes (id) VALUES (7)");
    bench.allows("SELECT * FROM notes");
    let unlabelled = Bench::masked();
    unlabelled.allows("DELETE FROM notes WHERE id = 1");
}

const NOT_HR: &str = r#"
    @id("all") permit (principal, action, resource);
    @id("not-hr") forbid (principal, action, resource in Tallyport::Schema::"sample/judged/hr");
"#;

#[test]
fn the_systems_own_rows_are_written_by_nobody() {
    let bench = Bench::new(NOT_HR, "");
    for sql in [
        "UPDATE pg_settings SET setting = 'hr, public' WHERE name = 'search_path'",
        "UPDATE pg_catalog.pg_settings SET setting = 'off' WHERE name = 'standard_conforming_strings'",
        "WITH u AS (UPDATE pg_settings SET setting = 'hr' WHERE name = 'role' RETURNING 1) SELECT * FROM u",
    ] {
        bench.refuses(sql, "change settings by SET");
    }
    bench.allows("SELECT setting FROM pg_settings");
    bench.allows("VACUUM pg_catalog.pg_class");
}

/// `$user` is whoever the session is at that moment.
#[test]
fn another_role_has_another_schema_of_its_own() {
    let hr = "SELECT * FROM staff";
    for statements in [
        &["SET search_path = \"$user\", public", "SET ROLE hr"][..],
        &["SET ROLE hr", "SET search_path = \"$user\", public"],
        &["SET SESSION AUTHORIZATION hr", "SELECT set_config('search_path', '$user', false)"],
        &["SET search_path = \"$user\", public", "SELECT set_config('role', 'hr', false)"],
    ] {
        let mut bench = Bench::new(NOT_HR, "");
        for statement in statements {
            let _ruling = bench.run(statement);
        }
        bench.refuses(hr, "not-hr");
    }
    let mut bench = Bench::new(NOT_HR, "");
    let _ruling = bench.run("SET ROLE somebody");
    bench.allows("SELECT * FROM notes");
}

/// The server cuts names that are too long for it.
#[test]
fn a_schema_whose_name_is_cut_may_be_any() {
    let mut bench = Bench::new(NOT_HR, "");
    let _ruling = bench.run(&format!("SET search_path = '{}'", "h".repeat(64)));
    bench.refuses("SELECT * FROM staff", "not-hr");
}

/// Data definition is asked of the table or schema that it is about, by whatever words.
#[test]
fn data_definition_in_a_schema_that_is_forbidden_is_refused() {
    let bench = Bench::new(NOT_HR, "");
    for sql in [
        "ALTER TABLE hr.staff ADD x int",
        "DROP TRIGGER audit ON hr.staff",
        "DROP POLICY p ON hr.staff",
        "DROP RULE r ON hr.staff",
        "COMMENT ON CONSTRAINT c ON hr.staff IS 'x'",
        "DROP FOREIGN TABLE hr.far",
        "GRANT SELECT ON ALL TABLES IN SCHEMA hr TO PUBLIC",
        "GRANT USAGE ON SCHEMA app, hr TO PUBLIC",
        "ALTER SCHEMA hr RENAME TO other",
        "ALTER SCHEMA hr OWNER TO somebody",
        "DROP SCHEMA hr",
        "ALTER TABLE app.notes SET SCHEMA hr",
    ] {
        bench.refuses(sql, "not-hr");
    }
    for sql in [
        "DROP TRIGGER audit ON app.notes",
        "GRANT USAGE ON SCHEMA app TO PUBLIC",
        "ALTER SCHEMA app RENAME TO b",
    ] {
        bench.allows(sql);
    }
}

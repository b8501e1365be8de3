//! What policy is asked, what goes on record, and that without masks only policy decides.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod verdict_support;

use tallyport_schemas::{Effect, Recording, StatementKind};
use verdict_support::{Bench, LABELS, OPEN, catalog, context, identity};

/// Without masked columns and with an open policy whatever the grammar accepts may pass.
#[test]
fn an_open_policy_without_masks_lets_everything_pass() {
    let bench = Bench::open();
    for sql in [
        "DO $$BEGIN END$$",
        "CALL p()",
        "SELECT app.ssn_of(1)",
        "SELECT nothing_of_the_kind(1) FROM nowhere",
        "CREATE TABLE t AS SELECT 1",
        "DROP SCHEMA app CASCADE",
        "SET ROLE postgres",
        "LISTEN x",
        "NOTIFY x",
        "COPY customers TO PROGRAM 'cat'",
        "EXECUTE never_prepared",
        "FETCH ALL FROM never_declared",
        "SELECT * FROM pg_stats",
        "SELECT ssn || '' FROM customers GROUP BY 1",
        "TRUNCATE customers",
        "VACUUM",
        "SELECT query_to_xml('select 1', true, false, '')",
        "INSERT INTO scratch VALUES (1)",
        "LOCK customers",
        "UPDATE customers SET ssn = ssn",
        "ALTER SYSTEM SET work_mem = '1MB'",
        "CREATE EXTENSION hstore",
        "EXPLAIN ANALYZE DELETE FROM customers",
        "SELECT 1; SELECT 2",
        "",
        "SELECT 1 === 2",
        "SELECT 'x'::app.checked_text",
        "SECURITY LABEL ON TABLE notes IS 'x'",
        "PREPARE TRANSACTION 'x'",
        "SET search_path = hr; SELECT * FROM staff",
        "MERGE INTO notes n USING customers c ON true WHEN MATCHED THEN DELETE",
        "SELECT * FROM guarded",
        "SELECT * FROM customer_v",
        "SELECT c FROM customers c",
    ] {
        bench.allows(sql);
        let plan = bench.judge(sql).plan;
        assert!(!plan.masked && !plan.scrub_errors, "{sql}");
    }
}

/// But for what would make the server read the next statement otherwise than the gateway does.
#[test]
fn settings_that_mislead_the_reader_are_refused_always() {
    let bench = Bench::open();
    for sql in [
        "SET standard_conforming_strings = off",
        "SET LOCAL standard_conforming_strings TO 'off'",
        "SELECT set_config('standard_conforming_strings', 'off', false)",
        "SELECT set_config('standard_conforming_strings', $1, false)",
        "SET client_encoding TO 'SJIS'",
        "SET NAMES 'big5'",
        "SELECT set_config('client_encoding', $1, false)",
    ] {
        assert_eq!(bench.judge(sql).decision.effect, Effect::Deny, "{sql}");
    }
    bench.allows("SET standard_conforming_strings = on");
    bench.allows("SET client_encoding TO 'LATIN1'");
}

fn asked(sql: &str) -> String {
    let verdict = Bench::over(catalog(), OPEN, LABELS, &["agents"], "t").judge(sql);
    let facts = &verdict.facts;
    let list = |items: &[String]| items.join(" ");
    let columns: Vec<String> =
        facts.columns.iter().map(|c| format!("{}.{}", c.table, c.column)).collect();
    let tables: Vec<String> = facts
        .tables
        .iter()
        .map(|t| format!("{}.{}", t.schema.as_deref().unwrap_or("?"), t.name))
        .collect();
    format!(
        "{sql}\n  {:?} actions: {}\n  resources: {}\n  tables: {}\n  columns: {}\n  functions: {}\n  labels: {}\n  read_only: {} opaque: {} has_where: {}\n",
        facts.kinds,
        list(&verdict.decision.actions),
        list(&verdict.decision.resources),
        tables.join(" "),
        columns.join(" "),
        list(&facts.functions),
        list(&facts.labels),
        facts.read_only,
        facts.opaque,
        facts.has_where
    )
}

#[test]
fn what_is_asked_and_recorded() {
    let all: Vec<String> = [
        "SELECT 1",
        "",
        "SELECT lower(c.name), o.total FROM customers c JOIN orders o ON o.customer_id = c.id WHERE c.ssn = 'x'",
        "SELECT * FROM customer_v",
        "SELECT relname FROM pg_class",
        "SELECT app.ssn_of(1)",
        "SELECT nextval('app.ids')",
        "SELECT id FROM notes FOR UPDATE",
        "INSERT INTO notes (id, body) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET body = 'y' RETURNING id",
        "UPDATE notes SET body = 'x'",
        "UPDATE notes SET body = 'x' WHERE id = 1",
        "WITH d AS (DELETE FROM notes WHERE id = 1 RETURNING id) SELECT * FROM d",
        "MERGE INTO notes n USING orders o ON o.id = n.id WHEN MATCHED THEN UPDATE SET body = 'x' WHEN NOT MATCHED THEN INSERT (id) VALUES (o.id)",
        "INSERT INTO scratch VALUES (1, 'x')",
        "COPY notes FROM STDIN",
        "COPY notes TO STDOUT",
        "COPY (SELECT id FROM notes) TO STDOUT",
        "COPY (SELECT 1) TO PROGRAM 'cat'",
        "TRUNCATE notes",
        "LOCK notes",
        "VACUUM notes",
        "CREATE TABLE fresh (a int)",
        "CREATE TABLE app.fresh AS SELECT id FROM notes",
        "SELECT id INTO fresh FROM notes",
        "CREATE VIEW app.fresh AS SELECT id FROM notes",
        "ALTER TABLE notes ADD COLUMN x int",
        "DROP TABLE notes, hr.staff",
        "DROP FUNCTION f",
        "COMMENT ON COLUMN app.notes.body IS 'x'",
        "CREATE ROLE r",
        "SET application_name = 'x'",
        "SHOW work_mem",
        "BEGIN",
        "DECLARE c CURSOR FOR SELECT id FROM notes",
        "PREPARE p AS DELETE FROM notes WHERE id = $1",
        "EXECUTE unknown",
        "DEALLOCATE p",
        "EXPLAIN DELETE FROM notes",
        "EXPLAIN ANALYZE DELETE FROM notes",
        "DO $$BEGIN END$$",
        "CALL app.p(1)",
        "LISTEN x",
        "NOTIFY x",
        "SELECT * FROM nowhere",
        "SELECT * FROM hr.nowhere",
        "SELECT 1; UPDATE notes SET body = 'x'; COMMIT",
    ]
    .into_iter()
    .map(asked)
    .collect();
    insta::assert_snapshot!(all.join("\n"));
}

#[test]
fn reasons_are_for_people_and_carry_no_value() {
    let bench = Bench::masked();
    let reasons: Vec<String> = [
        "SELECT 1 FROM customers WHERE ssn = '900-11-1001'",
        "SELECT * FROM customers ORDER BY 4",
        "SELECT c FROM customers c",
        "SELECT name FROM customer_v",
        "UPDATE customers SET ssn = '900-11-1001'",
        "SELECT salary FROM hr.staff",
        "SELECT * FROM nowhere",
        "SELECT app.ssn_of(1)",
        "SET ROLE postgres",
        "CREATE TABLE t (a text DEFAULT '900-11-1001')",
        "EXPLAIN SELECT ssn FROM customers",
    ]
    .into_iter()
    .map(|sql| format!("{sql}\n  {}", bench.judge(sql).decision.reasons.join("\n  ")))
    .collect();
    for reason in &reasons {
        let (_, reasons) = reason.split_once('\n').unwrap();
        assert!(!reasons.contains("900-11-1001"), "{reason}");
    }
    insta::assert_snapshot!(reasons.join("\n"));
}

#[test]
fn deny_wins_and_a_policy_that_fails_denies() {
    let policy = r#"
        @id("all") permit (principal, action, resource);
        @id("no-writes") @advice("ask an operator") forbid (principal, action == Tallyport::Action::"sql:update", resource);
        @id("ip") forbid (principal, action == Tallyport::Action::"sql:truncate", resource) when { context.approvals.contains("x") };
    "#;
    let bench = Bench::new(policy, "");
    bench.allows("SELECT 1 FROM notes");
    bench.refuses(
        "UPDATE notes SET body = 'x'",
        "policy no-writes forbids sql:update on app.notes; ask an operator",
    );
    bench.refuses("SELECT 1 FROM notes; UPDATE notes SET body = 'x'", "no-writes");
    bench.refuses("WITH u AS (UPDATE notes SET body = 'x' RETURNING 1) SELECT 1", "no-writes");
    bench.refuses("PREPARE p AS UPDATE notes SET body = 'x'", "no-writes");
    bench.refuses("EXPLAIN UPDATE notes SET body = 'x'", "no-writes");
    bench.refuses(
        "INSERT INTO notes (id) VALUES (1) ON CONFLICT (id) DO UPDATE SET body = 'x'",
        "no-writes",
    );
    bench.refuses(
        "MERGE INTO notes n USING orders o ON true WHEN MATCHED THEN UPDATE SET body = 'x'",
        "no-writes",
    );
    bench.allows("INSERT INTO notes (id) VALUES (1) ON CONFLICT (id) DO NOTHING");
    let denied = bench.judge("UPDATE notes SET body = 'x'");
    assert!(denied.decision.obligations.is_empty());
    assert_eq!(denied.decision.policy_ids, ["no-writes"]);
}

/// A forbid that cannot be evaluated is no permit.
#[test]
fn an_evaluation_error_denies() {
    let policy = r#"
        @id("all") permit (principal, action, resource);
        @id("broken") forbid (principal, action == Tallyport::Action::"sql:select", resource) when { 9223372036854775807 + 1 < 0 };
    "#;
    let bench = Bench::new(policy, "");
    bench.refuses(
        "SELECT 1 FROM notes",
        "policy could not be evaluated for sql:select on app.notes",
    );
    bench.allows("DELETE FROM notes");
}

#[test]
fn what_a_statement_proves_reaches_policy() {
    let policy = r#"
        @id("read-only") permit (principal, action, resource) when { context.readOnly && !context.opaque };
        @id("limited") permit (principal, action == Tallyport::Action::"sql:delete", resource) when { context.hasWhere && !context.multiStatement };
        @id("fn") permit (principal, action == Tallyport::Action::"fn:call", resource) when { resource is Tallyport::Function && resource.schema == "public" };
    "#;
    let bench = Bench::new(policy, "");
    for sql in [
        "SELECT now()",
        "SELECT * FROM notes",
        "EXPLAIN DELETE FROM notes",
        "SHOW work_mem",
        "BEGIN",
        "COPY notes TO STDOUT",
        "DECLARE c CURSOR FOR SELECT 1",
        "DELETE FROM notes WHERE id = 1",
    ] {
        bench.allows(sql);
    }
    for sql in [
        "SELECT nextval('app.ids')",
        "SELECT * FROM notes FOR UPDATE",
        "SELECT setval('app.ids', 1)",
        "SELECT app.ssn_of(1)",
        "DELETE FROM notes",
        "DELETE FROM notes WHERE id = 1; SELECT 1",
        "EXPLAIN ANALYZE INSERT INTO notes VALUES (1)",
        "WITH x AS (INSERT INTO notes VALUES (1) RETURNING 1) SELECT 1",
        "SELECT 1 INTO t",
        "COPY notes FROM STDIN",
        "SELECT * FROM sneaky_v",
        "SELECT * FROM taking_v",
        "SELECT pg_notify('a', 'b')",
        "SELECT lo_create(1)",
        "CREATE TABLE t (a int)",
        "DO $$BEGIN END$$",
        "SELECT dblink_exec('x')",
        "EXECUTE unknown",
        "NOTIFY x",
        "LOCK notes",
        "TRUNCATE notes",
    ] {
        assert!(!bench.judge(sql).is_allowed(), "{sql}");
    }
}

#[test]
fn names_are_asked_for_wherever_they_may_lie() {
    let policy = r#"
        @id("app") permit (principal, action == Tallyport::Action::"sql:select", resource)
        when { resource is Tallyport::Table && resource.schema == "app" };
        @id("set") permit (principal, action in [Tallyport::Action::"sql:set", Tallyport::Action::"sql:call", Tallyport::Action::"fn:call"], resource);
        @id("nothing") permit (principal, action == Tallyport::Action::"sql:select", resource) when { resource is Tallyport::Database };
    "#;
    let mut bench = Bench::new(policy, "");
    bench.allows("SELECT 1 FROM notes");
    bench.allows("SELECT 1 FROM nowhere");
    bench.refuses("SELECT 1 FROM hr.nowhere", "hr.nowhere");
    bench.refuses("SELECT 1 FROM staff_or_c, hr.staff", "hr.staff");
    assert!(bench.run("SET search_path = hr").is_allowed());
    bench.refuses("SELECT 1 FROM staff_or_c", "hr.staff_or_c");
    bench.refuses("SELECT 1 FROM nowhere", "hr.nowhere");
    bench.allows("SELECT 1 FROM app.staff_or_c");
    // More paths than are followed are any path.
    let mut bench = Bench::new(policy, "");
    bench.allows("SELECT 1 FROM staff_or_c");
    for n in 0..20 {
        bench.state.after(
            &gateway_core::sql::Parsed::parse(&format!("SET search_path = app, s{n}")).unwrap(),
        );
    }
    bench.refuses("SELECT 1 FROM staff_or_c", "hr.staff_or_c");
    // Code may have set another path.
    for sql in [
        "DO $$BEGIN SET search_path = hr; END$$",
        "SELECT app.ssn_of(1)",
        "SELECT set_config('search_path', $1, false)",
    ] {
        let mut bench = Bench::new(policy, "");
        bench.allows("SELECT 1 FROM staff_or_c");
        assert!(bench.run(sql).is_allowed(), "{sql}");
        bench.refuses("SELECT 1 FROM staff_or_c", "hr.staff_or_c");
    }
}

#[test]
fn obligations_are_gathered() {
    let policy = r#"
        @id("few") @row_limit("100") @record("digest") permit (principal, action == Tallyport::Action::"sql:select", resource)
        when { resource is Tallyport::Table && resource.name == "notes" };
        @id("fewer") @row_limit("10") @record("head:5") permit (principal, action == Tallyport::Action::"sql:select", resource)
        when { resource is Tallyport::Table && resource.name == "orders" };
        @id("more") permit (principal, action == Tallyport::Action::"sql:select", resource)
        when { resource is Tallyport::Table && resource.name == "customers" };
    "#;
    let bench = Bench::new(policy, "");
    let plan = bench.judge("SELECT 1 FROM notes").plan;
    assert_eq!((plan.row_limit, plan.recording), (Some(100), Recording::Digest));
    let plan = bench.judge("SELECT 1 FROM notes, orders").plan;
    assert_eq!((plan.row_limit, plan.recording), (Some(10), Recording::Head(5)));
    let plan = bench.judge("SELECT 1 FROM customers").plan;
    assert_eq!((plan.row_limit, plan.recording), (None, Recording::Full));
}

/// The session's start asked once; a policy that looks at the time or the statement is asked again.
#[test]
fn what_was_clear_or_masked_must_still_be() {
    let policy = r#"
        @id("all") permit (principal, action in [Tallyport::Action::"sql:any"], resource);
        @id("clear") permit (principal, action == Tallyport::Action::"col:read", resource) when { !context.multiStatement && resource.name == "ssn" };
        @id("masked") permit (principal, action == Tallyport::Action::"col:readMasked", resource) when { !context.multiStatement };
    "#;
    let bench = Bench::new(
        policy,
        "[columns]\n\"app.customers.ssn\" = \"pii\"\n\"app.customers.email\" = \"pii\"",
    );
    bench.allows("SELECT upper(ssn), email FROM customers");
    bench.refuses("SELECT ssn FROM customers; SELECT 1", "col:read on app.customers.ssn");
    bench.refuses("SELECT email FROM customers; SELECT 1", "col:readMasked on app.customers.email");
}

#[test]
fn masks_come_from_policy_else_from_the_label() {
    let policy = r#"
        @id("all") permit (principal, action in [Tallyport::Action::"sql:any"], resource);
        @id("a") @mask("partial:last4") permit (principal, action == Tallyport::Action::"col:readMasked", resource in Tallyport::Label::"pii");
        @id("b") @mask("hash") permit (principal, action == Tallyport::Action::"col:readMasked", resource in Tallyport::Label::"pii.card");
        @id("c") permit (principal, action == Tallyport::Action::"col:readMasked", resource in Tallyport::Label::"own");
    "#;
    let labels = "[columns]\n\"app.customers.ssn\" = \"pii.ssn\"\n\"app.customers.card\" = \"pii.card\"\n\"app.customers.email\" = \"own\"\n\"app.customers.nope\" = \"own\"\n\"app.nope.ssn\" = \"own\"\n[labels.own]\nmask = \"partial:first1\"";
    let bench = Bench::new(policy, labels);
    let oid = |name: &str| {
        (1..100_000).find(|oid| {
            bench
                .judge
                .catalog()
                .column(*oid, 1)
                .is_some_and(|c| c.table == name && c.schema.as_deref() == Some("app"))
        })
    };
    let customers = oid("customers").unwrap();
    let mask = |attnum| {
        bench.judge.masks().for_column(customers, attnum).map(|mask| mask.mask().to_string())
    };
    assert_eq!(mask(1), None);
    assert_eq!(mask(3).as_deref(), Some("partial:first1"));
    assert_eq!(mask(4).as_deref(), Some("partial:last4"));
    assert_eq!(
        mask(5).as_deref(),
        Some("redact"),
        "the strictest of two; a hash without a key redacts"
    );
    assert_eq!(bench.judge.masks().labels(customers, 4), ["pii.ssn"]);
    assert_eq!(bench.judge.unmatched_labels(), ["app.customers.nope", "app.nope.ssn"]);
}

#[test]
fn the_example_configuration_is_one() {
    let text = include_str!("../../../deploy/examples/masking.toml");
    let masking = gateway_core::masking::Masking::parse(text, "masking.toml").unwrap();
    assert!(!masking.has_hash_key());
    let bench = Bench::new(OPEN, text);
    assert_eq!(bench.judge.unmatched_labels(), [] as [&str; 0]);
}

#[test]
fn opening_a_session_is_asked() {
    use gateway_core::verdict::Judge;
    use std::sync::Arc;
    use tallyport_access::policy::PolicySet;
    use tallyport_schemas::{TargetKind, TargetRef};
    let set = Arc::new(
        PolicySet::parse(r#"@id("in") permit (principal, action == Tallyport::Action::"sql:connect", resource in Tallyport::Target::"one");"#, "p").unwrap(),
    );
    let asker = set.asker(&identity(&[]));
    let target = |name: &str| TargetRef {
        name: name.to_owned(),
        kind: TargetKind::Postgresql,
        database: Some("d".to_owned()),
    };
    let yes = Judge::connect(&asker, &target("one"), &context(), Recording::Full);
    assert!(yes.is_allowed());
    assert_eq!(yes.decision.resources, ["one/d"]);
    let no = Judge::connect(&asker, &target("two"), &context(), Recording::Full);
    assert!(!no.is_allowed());
    assert_eq!(no.decision.reasons, ["no policy permits sql:connect on two"]);
    assert_eq!(no.facts.kinds, Vec::<StatementKind>::new());
}

/// A denial names what forbade; a permit for another part of the statement did not determine it.
#[test]
fn a_denial_names_no_permit() {
    let policy = r#"
@id("app-only")
permit (principal, action == Tallyport::Action::"sql:select", resource) when { resource is Tallyport::Table && resource.schema == "app" };
"#;
    let bench = Bench::new(policy, "");
    let verdict = bench.judge("SELECT c.id FROM app.customers c JOIN hr.staff s ON s.id = c.id");
    assert!(!verdict.is_allowed());
    assert_eq!(verdict.decision.policy_ids, Vec::<String>::new());
    let forbidden = format!(
        "{policy}\n@id(\"no-staff\") forbid (principal, action, resource) when {{ resource is Tallyport::Table && resource.schema == \"hr\" }};"
    );
    let verdict = Bench::new(&forbidden, "")
        .judge("SELECT c.id FROM app.customers c JOIN hr.staff s ON s.id = c.id");
    assert_eq!(verdict.decision.policy_ids, ["no-staff"]);
    let allowed = Bench::new(policy, "").judge("SELECT id FROM app.customers");
    assert_eq!(allowed.decision.policy_ids, ["app-only"], "{:?}", allowed.decision.reasons);
}

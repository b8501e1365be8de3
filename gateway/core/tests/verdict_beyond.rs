//! While columns are masked: everything around SELECT that could carry a value out.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod verdict_support;

use verdict_support::Bench;

#[test]
fn code_that_cannot_be_seen_through_is_refused() {
    let bench = Bench::masked();
    let cases = [
        ("SELECT app.ssn_of(1)", "app.ssn_of"),
        ("SELECT ssn_of(1)", "app.ssn_of"),
        ("SELECT ssn FROM all_customers()", "app.all_customers"),
        ("SELECT g.ssn_of FROM generate_series(1, 2) g", "app.ssn_of"),
        ("SELECT (1).ssn_of", "app.ssn_of"),
        ("SELECT (g).ssn_of FROM generate_series(1, 2) g", "app.ssn_of"),
        ("SELECT x.pg_ls_dir FROM unnest(ARRAY['.']) x", "pg_ls_dir"),
        ("SELECT query_to_xml('select ssn from app.customers',true,false,'')", "query_to_xml"),
        ("SELECT pg_catalog.query_to_xml('select 1',true,false,'')", "query_to_xml"),
        ("SELECT table_to_xml('app.customers'::regclass,true,false,'')", "table_to_xml"),
        ("SELECT word FROM ts_stat('SELECT 1')", "ts_stat"),
        ("SELECT ts_rewrite('a'::tsquery, 'SELECT 1')", "ts_rewrite"),
        (
            "SELECT * FROM public.xpath_table('id','xmltext','app.xmlview','/r','true') AS t(id int, v text)",
            "xpath_table",
        ),
        ("SELECT * FROM public.dblink('x','SELECT 1') AS t(a text)", "dblink"),
        ("SELECT * FROM public.crosstab('SELECT 1,2,3') AS t(a int, b int)", "crosstab"),
        ("SELECT pg_ls_dir('.')", "pg_ls_dir"),
        ("SELECT pg_read_file('x')", "pg_read_file"),
        ("SELECT lo_get(1)", "lo_get"),
        ("SELECT pg_get_functiondef('app.ssn_of'::regproc)", "pg_get_functiondef"),
        ("SELECT pg_notify('a', 'b')", "pg_notify"),
        (
            "SELECT set_config('application_name',(SELECT name FROM customers WHERE id=1),false)",
            "set_config",
        ),
        ("SELECT never_heard_of(1)", "never_heard_of"),
        ("SELECT 1 === 2", "==="),
        ("SELECT 1 OPERATOR(app.===) 2", "==="),
        ("SELECT id FROM notes ORDER BY id USING OPERATOR(app.===)", "==="),
        ("SELECT id = ANY (SELECT 1) OR id === ALL (SELECT 2) FROM notes", "==="),
        ("SELECT 'x'::app.checked_text", "checked_text"),
        ("SELECT CAST('x' AS checked_text)", "checked_text"),
        ("SELECT '{x}'::app.checked_text[]", "checked_text"),
        ("SELECT '{x}'::app._checked_text", "checked_text"),
        ("SELECT checked_text('x')", "checked_text"),
        ("SELECT pg_input_is_valid('x', 'app.checked_text')", "pg_input_is_valid"),
        ("SELECT JSON_VALUE('{}', '$' RETURNING app.checked_text)", "checked_text"),
        ("SELECT 'good'::app.mood::int", "mood"),
        ("SELECT NULL::app.customers", "customers"),
        ("SELECT * FROM json_populate_record(NULL::customers, '{}')", "customers"),
        ("SELECT * FROM jsonb_to_recordset('[]') AS t(a app.checked_text)", "checked_text"),
        ("DO $$BEGIN END$$", "code"),
        ("CALL something()", "code"),
        ("SELECT * FROM sneaky_v", "app.ssn_of"),
        ("SELECT * FROM xml_v", "query_to_xml"),
        ("EXPLAIN (VERBOSE) SELECT ssn_immutable(1)", "ssn_immutable"),
        ("EXPLAIN ANALYZE SELECT ssn_of(1)", "ssn_of"),
        ("SELECT * FROM notes TABLESAMPLE app.own (1)", "samples"),
        ("SELECT owner FROM guarded", "row security"),
        ("SELECT id FROM far", "another server"),
        ("SELECT id FROM far_v", "another server"),
        ("SELECT id FROM moody", "may run code"),
        ("SELECT * FROM stats_v", "pg_stats"),
    ];
    for (sql, words) in cases {
        bench.refuses(sql, words);
    }
}

#[test]
fn code_that_is_known_passes() {
    let bench = Bench::masked();
    for sql in [
        "SELECT lower(body), now(), random(), id % 2 FROM notes",
        "SELECT pg_catalog.count(*) FROM notes",
        "SELECT jsonb_path_query(meta, '$.a') FROM notes",
        "SELECT unnest(tags) FROM notes",
        "SELECT 'red'::app.color, '{red}'::app._color, 'x'::plain_text, 1::bigint, '{}'::jsonb, '1 day'::interval, 'app.notes'::regclass",
        "SELECT tag = 'x' FROM tagged",
        "SELECT * FROM note_vv",
        "SELECT current_setting('jit') AS cur, set_config('jit', 'off', false) AS new",
        "SELECT set_config('search_path', '', false)",
        "SELECT pg_advisory_unlock_all()",
        "SELECT nextval('app.ids')",
        "SELECT * FROM jsonb_to_recordset('[]') AS t(a int, b text)",
        "SELECT * FROM ROWS FROM (json_to_recordset('[]') AS (a int), generate_series(1, 2)) AS t(a, b)",
        "SELECT JSON_VALUE('{}', '$.a' RETURNING int), JSON_OBJECT('a': 1), JSON_ARRAY(SELECT id FROM notes)",
        "SELECT * FROM JSON_TABLE('[]', '$[*]' COLUMNS (a int PATH '$.a', NESTED PATH '$.b[*]' COLUMNS (c text PATH '$'))) j",
        "SELECT * FROM XMLTABLE('/r' PASSING ('<r/>'::xml) COLUMNS a text PATH '.', n FOR ORDINALITY) x",
        "SELECT xmlserialize(CONTENT xmlelement(name a, xmlattributes('x' AS b), 'c') AS text), xmlforest(id) FROM notes",
        "SELECT id, sum(id) OVER (PARTITION BY mood ORDER BY id ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM notes",
        "SELECT mood, grouping(mood) FROM notes GROUP BY GROUPING SETS ((mood), ()) HAVING bool_and(id > 1)",
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY id) FILTER (WHERE id > 1) FROM notes",
        "SELECT tags[1:2], (ARRAY[1,2])[1], B'101', current_user, id IS NOT DISTINCT FROM 1, id BETWEEN SYMMETRIC 1 AND 2 FROM notes",
        "SELECT make_interval(days => 3), extract(year FROM now()), overlay('a' PLACING 'b' FROM 1), now() AT TIME ZONE 'UTC'",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 5) CYCLE n SET c USING p SELECT * FROM t",
        "SELECT * FROM notes n LEFT JOIN LATERAL (SELECT o.total FROM orders o WHERE o.id = n.id LIMIT 1) x ON true FETCH FIRST 3 ROWS ONLY",
        "SELECT s.total FROM (SELECT count(*) AS total FROM notes) s",
        "SELECT x.a FROM (VALUES (1, 2)) x(a, b)",
        "SELECT e.key, e.value FROM notes n, jsonb_each(n.meta) e",
        "EXPLAIN SELECT * FROM notes WHERE id = 1",
        "EXPLAIN ANALYZE SELECT * FROM notes",
    ] {
        bench.allows(sql);
    }
}

#[test]
fn views_that_reach_masked_tables_are_refused() {
    let bench = Bench::masked();
    for sql in [
        "SELECT name FROM customer_v",
        "SELECT * FROM customer_vv",
        "SELECT s FROM customer_mv",
        "SELECT * FROM masked.customers",
        "SELECT * FROM xmlview",
        "SELECT name FROM hr.staff_or_c",
    ] {
        bench.refuses(sql, "masked for you");
    }
    bench.allows("SELECT * FROM note_v");
    bench.allows("SELECT * FROM staff_or_c");
}

#[test]
fn writes_to_masked_tables_and_writes_that_run_code_are_refused() {
    let bench = Bench::masked();
    let cases = [
        ("INSERT INTO customers VALUES (901,'a','a@b','900-33-3003','c',NULL)", "not changed"),
        ("INSERT INTO customers (id) VALUES (1) ON CONFLICT DO NOTHING", "not changed"),
        ("UPDATE customers SET notes='x' WHERE id=1 RETURNING ssn AS z", "not changed"),
        ("UPDATE customers SET name=NULL WHERE id=1", "not changed"),
        ("DELETE FROM customers WHERE id=59 RETURNING *", "not changed"),
        ("WITH d AS (DELETE FROM customers RETURNING *) SELECT 1", "not changed"),
        (
            "MERGE INTO customers c USING notes n ON c.id = n.id WHEN MATCHED THEN DELETE",
            "not changed",
        ),
        ("TRUNCATE customers", "not changed"),
        ("TRUNCATE notes, customers", "not changed"),
        ("TRUNCATE notes CASCADE", "cascades"),
        ("LOCK TABLE customers", "locked"),
        ("COPY customers TO STDOUT", "copied"),
        ("COPY customers (id) TO STDOUT", "copied"),
        ("COPY customers FROM STDIN", "copied"),
        ("VACUUM customers", "maintained"),
        ("ANALYZE customers (ssn)", "maintained"),
        ("COPY scratch(v) FROM PROGRAM 'id'", "program"),
        ("COPY notes TO '/tmp/x'", "file"),
        ("INSERT INTO scratch VALUES (1, 'x')", "trigger"),
        ("COPY scratch FROM STDIN", "trigger"),
        ("INSERT INTO defaulted (id) VALUES (1)", "run code"),
        ("INSERT INTO indexed VALUES (1, 'x')", "run code"),
        ("UPDATE up SET id = 1", "table app.down has columns"),
        ("INSERT INTO ruled VALUES (1)", "triggers or rules"),
        ("INSERT INTO log VALUES (1, '2025-02-02')", "app.log_2025, which has triggers"),
        ("INSERT INTO refers VALUES (1, '900-11-1001')", "must match"),
        ("INSERT INTO events (id, at) VALUES (1, '2025-02-02')", "not changed"),
        ("INSERT INTO note_v VALUES (1)", "writing through"),
        ("UPDATE pg_class SET relname = 'x'", "writing through"),
    ];
    for (sql, words) in cases {
        bench.refuses(sql, words);
    }
    for sql in [
        "INSERT INTO notes (id, body) VALUES (1, 'x') ON CONFLICT (id) DO UPDATE SET body = excluded.body RETURNING *",
        "UPDATE notes SET body = 'x' WHERE id = 1 RETURNING id",
        "INSERT INTO notes (id, body) SELECT id, name FROM customers",
        "DELETE FROM notes WHERE id IN (SELECT id FROM customers WHERE name = 'x')",
        "MERGE INTO notes n USING customers c ON n.id = c.id WHEN MATCHED THEN UPDATE SET body = c.name",
        "TRUNCATE notes",
        "COPY notes FROM STDIN",
        "COPY notes TO STDOUT",
        "COPY (SELECT id, name FROM customers) TO STDOUT",
        "VACUUM notes",
        "LOCK TABLE notes",
    ] {
        bench.allows(sql);
    }
}

#[test]
fn what_makes_or_changes_objects_is_refused() {
    let bench = Bench::masked();
    for sql in [
        "CREATE TEMP VIEW tv AS SELECT ssn AS a FROM customers",
        "CREATE TABLE t AS SELECT 1",
        "SELECT ssn AS a INTO TEMP t2 FROM customers",
        "SELECT 1 INTO t3",
        "CREATE TABLE t AS EXECUTE p",
        "CREATE MATERIALIZED VIEW mm AS SELECT ssn FROM customers",
        "CREATE TEMP TABLE k (LIKE customers INCLUDING ALL)",
        "CREATE TABLE k () INHERITS (customers)",
        "ALTER TABLE customers RENAME ssn TO t_",
        "ALTER TABLE notes ADD COLUMN x int",
        "DROP TABLE notes",
        "CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'",
        "CREATE RULE r AS ON SELECT TO notes DO INSTEAD SELECT 1",
        "CREATE TRIGGER t BEFORE INSERT ON notes FOR EACH ROW EXECUTE FUNCTION app.touch()",
        "CREATE INDEX ON customers (ssn)",
        "CREATE POLICY p ON notes USING (true)",
        "CREATE STATISTICS s ON id, name FROM customers",
        "COMMENT ON TABLE notes IS 'x'",
        "SECURITY LABEL ON TABLE notes IS 'x'",
        "GRANT SELECT ON customers TO PUBLIC",
        "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
        "IMPORT FOREIGN SCHEMA x FROM SERVER y INTO app",
        "CREATE EXTENSION dblink",
        "LOAD 'x'",
        "CREATE SCHEMA s",
        "ALTER ROLE mk_full SET search_path = hr",
        "ALTER SYSTEM SET work_mem = '1GB'",
        "REFRESH MATERIALIZED VIEW customer_mv",
        "REINDEX TABLE customers",
        "CREATE PUBLICATION p FOR TABLE customers",
        "DROP OWNED BY mk_full",
        "PREPARE p AS CREATE TABLE x (a int)",
    ] {
        if let Ok(parsed) = gateway_core::sql::Parsed::parse(sql) {
            drop(parsed);
            bench.refuses(sql, "masked for you");
        }
    }
}

#[test]
fn session_statements() {
    let bench = Bench::masked();
    let refused = [
        ("SET SESSION AUTHORIZATION postgres", "session_authorization"),
        ("SET ROLE postgres", "role"),
        ("RESET ROLE", "role"),
        ("SET session_replication_role = replica", "session_replication_role"),
        ("SET row_security = off", "row_security"),
        ("SET debug_print_plan = on", "debug_print_plan"),
        ("SET client_min_messages = debug5", "client_min_messages"),
        ("SELECT set_config('role', 'postgres', false)", "role"),
        ("SET standard_conforming_strings = off", "standard_conforming_strings"),
        ("SET client_encoding = 'SJIS'", "client_encoding"),
        ("SET NAMES 'GBK'", "client_encoding"),
        ("LISTEN x", "LISTEN"),
        ("NOTIFY x, 'y'", "NOTIFY"),
        ("FETCH 1 FROM never_declared", "out of the gateway's sight"),
        ("EXECUTE never_prepared", "out of the gateway's sight"),
        ("CHECKPOINT", "maintenance"),
        ("VACUUM", "maintenance"),
    ];
    for (sql, words) in refused {
        bench.refuses(sql, words);
    }
    for sql in [
        "BEGIN",
        "COMMIT",
        "ROLLBACK",
        "SAVEPOINT a",
        "RELEASE a",
        "BEGIN READ ONLY",
        "SET TRANSACTION READ WRITE",
        "SET application_name = 'x'",
        "SET client_encoding = 'LATIN1'",
        "SET NAMES 'UTF8'",
        "SET datestyle TO iso, mdy",
        "SET TIME ZONE 'UTC'",
        "SET statement_timeout TO 5000",
        "SET search_path = hr",
        "SET client_min_messages = warning",
        "SET extra_float_digits = 3",
        "SHOW search_path",
        "SHOW ALL",
        "RESET ALL",
        "DISCARD ALL",
        "CLOSE ALL",
        "DEALLOCATE ALL",
        "UNLISTEN *",
        "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
        "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL",
        "",
    ] {
        bench.allows(sql);
    }
}

#[test]
fn the_path_of_names_is_followed() {
    let mut bench = Bench::masked();
    bench.refuses("SELECT ssn || '' FROM staff", "not known");
    assert!(bench.run("SET search_path = hr").is_allowed());
    // The SET may have failed: both paths hold from here on.
    bench.refuses("SELECT ssn || '' FROM staff", "is masked for you");
    bench.refuses("SELECT name || '' FROM staff_or_c", "reads hr.staff");
    let mut bench = Bench::masked();
    bench.refuses("SET search_path = hr; SELECT ssn || '' FROM staff", "is masked for you");
    assert!(bench.run("SELECT set_config('search_path','hr',false)").is_allowed());
    bench.refuses("SELECT ssn || '' FROM staff", "is masked for you");
    let mut bench = Bench::masked();
    bench.state.forget_search_path();
    bench.refuses("SELECT ssn || '' FROM staff", "is masked for you");
    bench.refuses("SELECT ssn || '' FROM customers", "is masked for you");
    assert!(!bench.run("SELECT name FROM staff_or_c").is_allowed());
}

/// A `SET` that ended well outside a transaction leaves one path; `RESET` brings the first one back into play.
#[test]
fn a_path_that_settled_is_the_only_one() {
    let mut bench = Bench::masked();
    let set = gateway_core::sql::Parsed::parse("SET search_path = hr").unwrap();
    bench.state.after(&set);
    bench.refuses("SELECT id FROM staff", "not known");
    bench.state.settled(&set);
    bench.allows("SELECT id FROM staff");
    bench.refuses("SELECT id FROM notes", "not known");
    assert!(bench.run("RESET ALL").is_allowed());
    bench.refuses("SELECT id FROM staff", "not known");
    bench.refuses("SELECT name FROM staff_or_c", "reads hr.staff");
    // What holds only in a transaction, or beside other statements, settles nothing.
    for sql in [
        "SET LOCAL search_path = app",
        "SET search_path = app; SELECT 1",
        "SELECT set_config('search_path', 'app', false)",
    ] {
        let parsed = gateway_core::sql::Parsed::parse(sql).unwrap();
        bench.state.after(&parsed);
        bench.state.settled(&parsed);
        bench.refuses("SELECT name FROM staff_or_c", "reads hr.staff");
    }
}

#[test]
fn prepared_bodies_are_judged_again() {
    let mut bench = Bench::masked();
    assert!(bench.run("PREPARE p AS SELECT name FROM staff_or_c LIMIT 1").is_allowed());
    assert!(bench.run("EXECUTE p").is_allowed());
    assert!(bench.run("SET search_path = hr").is_allowed());
    bench.refuses("EXECUTE p", "reads hr.staff");
    bench.refuses("EXPLAIN EXECUTE p", "reads hr.staff");

    let mut bench = Bench::masked();
    assert!(bench.run("BEGIN").is_allowed());
    assert!(bench.run("DECLARE c CURSOR FOR SELECT ssn AS a FROM customers").is_allowed());
    let fetch = bench.run("FETCH 3 FROM c");
    assert!(fetch.is_allowed() && fetch.plan.masked && fetch.plan.scrub_errors);
    assert!(bench.run("MOVE 3 FROM c").is_allowed());

    // Another body under the same name may not have replaced the first: both count.
    let mut bench = Bench::masked();
    assert!(bench.run("PREPARE q AS SELECT 1").is_allowed());
    let kept = gateway_core::sql::Parsed::parse("SELECT ssn || '' FROM customers").unwrap();
    bench.state.note_prepared("q", &kept);
    bench.refuses("EXECUTE q", "is masked for you");
    for n in 0..20 {
        bench.state.note_prepared(
            "many",
            &gateway_core::sql::Parsed::parse(&format!("SELECT {n}")).unwrap(),
        );
    }
    bench.refuses("EXECUTE many", "out of the gateway's sight");
}

#[test]
fn other_character_sets_take_ascii_only() {
    let mut bench = Bench::masked();
    bench.allows("SELECT 'ä' FROM notes");
    assert!(bench.run("SET client_encoding = 'LATIN1'").is_allowed());
    bench.allows("SELECT ssn FROM customers LIMIT 1");
    bench.refuses("SELECT 'ä' FROM notes", "client_encoding");
}

#[test]
fn the_servers_own_relations_are_read_by_list() {
    let bench = Bench::masked();
    for name in [
        "pg_stats",
        "pg_statistic",
        "pg_stat_activity",
        "pg_stat_statements",
        "pg_prepared_statements",
        "pg_cursors",
        "pg_largeobject",
        "pg_authid",
        "pg_shadow",
        "pg_user_mapping",
        "pg_stats_ext",
        "pg_statistic_ext_data",
        "information_schema.user_mapping_options",
        "pg_file_settings",
        "pg_locks",
    ] {
        assert!(!bench.judge(&format!("SELECT 1 FROM {name}")).is_allowed(), "{name}");
    }
    for name in [
        "pg_class",
        "pg_type",
        "pg_proc",
        "pg_roles",
        "pg_settings",
        "information_schema.columns",
        "pg_indexes",
        "pg_database",
    ] {
        bench.allows(&format!("SELECT * FROM {name}"));
    }
}

#[test]
fn plans_tell_how_to_handle_the_response() {
    let bench = Bench::masked();
    assert!(bench.judge("SELECT ssn FROM customers").plan.scrub_errors);
    assert!(!bench.judge("SELECT id FROM notes").plan.scrub_errors);
    assert!(
        bench.judge("SELECT id FROM notes").plan.masked,
        "every result is checked by its origin"
    );
    assert!(!bench.judge("COMMIT").plan.masked);
    let open = Bench::open();
    let plan = open.judge("SELECT ssn FROM customers").plan;
    assert!(!plan.masked && !plan.scrub_errors);
}

/// As deep as the parser lets through, on a small stack: judged, not crashed.
#[test]
fn deep_statements_are_judged() {
    let check = || {
        let bench = Bench::masked();
        bench.allows(&format!("SELECT {} FROM notes", vec!["id"; 1_500].join(" + ")));
        bench.refuses(
            &format!("SELECT {} || ssn FROM customers", vec!["name"; 1_500].join(" || ")),
            "is masked for you",
        );
        bench.refuses(
            &format!("SELECT 1 {}", " UNION SELECT ssn FROM customers".repeat(1_000)),
            "is masked for you",
        );
    };
    std::thread::Builder::new().stack_size(2 * 1024 * 1024).spawn(check).unwrap().join().unwrap();
}

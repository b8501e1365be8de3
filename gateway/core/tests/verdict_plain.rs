//! While columns are masked: what passes, and what is refused for which reason. One line per way to get at a value.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod verdict_support;

use verdict_support::{Bench, LABELS, OPEN_BUT_MASKED, catalog_with};

#[test]
fn plain_projection_passes() {
    let bench = Bench::masked();
    for sql in [
        "SELECT ssn FROM customers",
        "SELECT name AS ssn, ssn AS name FROM customers",
        "SELECT * FROM customers",
        "SELECT c.*, c.ssn, c.ssn FROM customers c",
        "TABLE customers",
        "SELECT U&\"s\\0073n\" FROM U&\"c!0075stomers\" UESCAPE '!'",
        "SELECT judged.app.customers.ssn FROM ONLY judged.app.customers",
        "SELECT app.customers.ssn FROM app.customers",
        "SELECT \"ssn\" FROM \"app\".\"customers\"",
        "SELECT SSN FROM CUSTOMERS",
        "SELECT id, ssn FROM customers WHERE id = $1 AND name LIKE $2 ORDER BY name, id LIMIT 10 OFFSET 5",
        "SELECT id, ssn FROM customers ORDER BY 1",
        "SELECT c.ssn, o.total FROM customers c JOIN orders o ON o.customer_id = c.id WHERE o.total > 5",
        "SELECT ssn, total FROM customers LEFT JOIN orders USING (id)",
        "SELECT c.ssn, upper(c.name), c.id + 1 FROM customers c",
        "SELECT c.ssn, g FROM customers c, generate_series(1, 3) g",
        "SELECT c.ssn, n.body FROM customers c, notes n WHERE n.id = c.id",
        "SELECT ctid, xmin, tableoid, ssn FROM customers",
        "SELECT count(*) FROM customers",
        "SELECT name, count(*) FROM customers GROUP BY name HAVING count(*) > 1",
        "SELECT id FROM customers WHERE id IN (SELECT customer_id FROM orders)",
        "SELECT o.total FROM orders o WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = o.customer_id)",
        "WITH c AS (SELECT id, name FROM customers) SELECT * FROM c",
        "WITH x AS (SELECT 1 AS one) SELECT customers.ssn, one FROM customers, x",
        "SELECT ssn FROM staff_or_c, hr.staff",
        "DECLARE k CURSOR FOR SELECT ssn FROM customers",
        "PREPARE p AS SELECT ssn FROM customers WHERE id = $1",
        "SELECT secret FROM events",
        "SELECT secret FROM events_2025",
        "SELECT secret FROM base",
        "BEGIN; SELECT ssn FROM customers; COMMIT",
        "SELECT E'\\'; SELECT ssn FROM customers; --'",
        "SELECT $a$ -- $a$, ssn FROM customers LIMIT 1",
        "SELECT ssn, (SELECT max(total) FROM orders) FROM customers",
    ] {
        bench.allows(sql);
        let verdict = bench.judge(sql);
        assert!(verdict.plan.masked || sql.starts_with("BEGIN"), "{sql}");
    }
}

#[test]
fn a_masked_column_is_used_nowhere_else() {
    let bench = Bench::masked();
    let cases = [
        // expressions
        ("SELECT ssn::varchar FROM customers", "an expression"),
        ("SELECT ssn || '' FROM customers", "an expression"),
        ("SELECT (ssn) || '' FROM customers", "an expression"),
        ("SELECT encode(convert_to(ssn,'UTF8'),'base64') FROM customers", "an expression"),
        ("SELECT substr(c.ssn,1,1) FROM customers c", "an expression"),
        ("SELECT CASE WHEN true THEN ssn END FROM customers", "an expression"),
        ("SELECT coalesce(ssn,'') FROM customers", "an expression"),
        ("SELECT nullif(ssn,'x') FROM customers", "an expression"),
        ("SELECT greatest(ssn,'') FROM customers", "an expression"),
        ("SELECT ssn COLLATE \"C\" FROM customers", "an expression"),
        ("SELECT ssn IS DISTINCT FROM '900-11-1001' FROM customers", "an expression"),
        ("SELECT ssn IS NULL FROM customers", "an expression"),
        ("SELECT ssn SIMILAR TO '900-1%' FROM customers", "an expression"),
        ("SELECT ssn BETWEEN 'a' AND 'b' FROM customers", "an expression"),
        ("SELECT ARRAY[ssn] FROM customers", "an expression"),
        ("SELECT ROW(ssn) FROM customers", "an expression"),
        ("SELECT (ARRAY[c.ssn])[1] FROM customers c", "an expression"),
        ("SELECT xmlelement(name a, ssn) FROM customers", "an expression"),
        ("SELECT json_object('a': ssn) FROM customers", "an expression"),
        ("SELECT json_build_object('a', ssn) FROM customers", "an expression"),
        ("SELECT string_agg(ssn,'|') FROM customers", "an expression"),
        ("SELECT count(DISTINCT ssn) FROM customers", "an expression"),
        ("SELECT count(*) FILTER (WHERE ssn LIKE '9%') FROM customers", "an expression"),
        ("SELECT mode() WITHIN GROUP (ORDER BY ssn) FROM customers", "an expression"),
        ("SELECT max(id) OVER (PARTITION BY ssn) FROM customers", "an expression"),
        ("SELECT count(*) OVER (ORDER BY ssn) FROM customers", "an expression"),
        ("SELECT ascii(ssn) AS ssn FROM customers", "an expression"),
        // clauses
        ("SELECT 1 FROM customers WHERE ssn = 'x'", "WHERE"),
        ("SELECT 1 FROM customers WHERE ssn::date IS NULL", "WHERE"),
        ("SELECT 1 FROM customers WHERE name ~ ('(' || ssn)", "WHERE"),
        ("SELECT 1 FROM customers c JOIN orders o ON o.card_used = c.card", "ON"),
        ("SELECT 1 FROM customers JOIN hr.staff USING (ssn)", "USING"),
        ("SELECT id FROM customers ORDER BY ssn", "ORDER BY"),
        ("SELECT id FROM customers ORDER BY ssn FETCH FIRST 1 ROW WITH TIES", "ORDER BY"),
        ("SELECT 1 FROM customers GROUP BY ssn", "GROUP BY"),
        ("SELECT 1 FROM customers GROUP BY GROUPING SETS ((ssn), ())", "GROUP BY"),
        ("SELECT 1 FROM customers GROUP BY ROLLUP (ssn)", "GROUP BY"),
        ("SELECT 1 FROM customers GROUP BY id HAVING max(ssn) > '9'", "HAVING"),
        ("SELECT DISTINCT ON (ssn) id FROM customers", "DISTINCT"),
        ("SELECT count(*) OVER w FROM customers WINDOW w AS (PARTITION BY ssn)", "WINDOW"),
        (
            "SELECT 1 FROM generate_series(1,99) LIMIT (SELECT substr(ssn,5,2)::int FROM customers WHERE id=1)",
            "a subquery",
        ),
        // results used again
        ("SELECT DISTINCT ssn FROM customers", "SELECT DISTINCT"),
        ("SELECT DISTINCT * FROM customers", "SELECT DISTINCT"),
        ("SELECT id, ssn FROM customers ORDER BY 2", "number"),
        ("SELECT * FROM customers ORDER BY 4", "number"),
        ("SELECT id, c.* FROM customers c ORDER BY 3", "number"),
        ("SELECT ssn AS x FROM customers ORDER BY x", "called x"),
        ("SELECT ssn AS name FROM customers ORDER BY name", "called name"),
        ("SELECT * FROM customers ORDER BY ssn", "ORDER BY"),
        ("SELECT ssn, count(*) FROM customers GROUP BY 1", "GROUP BY"),
        ("SELECT ssn AS x, count(*) FROM customers GROUP BY x", "GROUP BY"),
        ("SELECT id, ssn FROM customers GROUP BY id", "GROUP BY"),
        // somewhere inside
        ("SELECT s.ssn FROM (SELECT ssn FROM customers) s", "a subquery"),
        ("SELECT * FROM (SELECT * FROM customers) s", "a subquery"),
        ("SELECT (SELECT ssn FROM customers LIMIT 1)", "a subquery"),
        ("SELECT ARRAY(SELECT ssn FROM customers)", "a subquery"),
        (
            "SELECT ARRAY(SELECT ascii(x) FROM regexp_split_to_table(ssn,'') x) FROM customers",
            "a subquery",
        ),
        ("SELECT 1 WHERE 'x' IN (SELECT ssn FROM customers)", "a subquery"),
        ("SELECT 1 WHERE EXISTS (SELECT 1 FROM customers WHERE ssn LIKE '9%')", "a subquery"),
        ("SELECT u FROM customers c, LATERAL (SELECT c.ssn) x(u)", "a subquery"),
        ("SELECT u FROM customers c, LATERAL (VALUES (c.ssn)) x(u)", "a subquery"),
        ("SELECT u FROM customers c, unnest(ARRAY[c.name, c.ssn]) u", "FROM"),
        ("SELECT 1 FROM customers, generate_series(1, substr(ssn,5,2)::int)", "FROM"),
        (
            "SELECT * FROM customers c, XMLTABLE('/r' PASSING (('<r>'||c.ssn||'</r>')::xml) COLUMNS v text PATH '.') x",
            "FROM",
        ),
        (
            "SELECT * FROM customers c, JSON_TABLE(to_jsonb(c.ssn), '$' COLUMNS (v text PATH '$')) j",
            "FROM",
        ),
        ("WITH t AS (SELECT ssn FROM customers) SELECT * FROM t", "WITH"),
        ("WITH t(a) AS (SELECT * FROM customers) SELECT a FROM t", "WITH"),
        (
            "WITH RECURSIVE t(a,n) AS (SELECT ssn,1 FROM customers UNION ALL SELECT a,n+1 FROM t WHERE n<2) SELECT a FROM t",
            "UNION",
        ),
        (
            "WITH RECURSIVE t(id, n) AS (SELECT id, 1 FROM customers) SEARCH DEPTH FIRST BY id SET o CYCLE id SET c USING p SELECT o FROM t, customers WHERE ssn = 'x'",
            "WHERE",
        ),
        ("SELECT ssn FROM customers UNION SELECT 'x'", "UNION"),
        ("SELECT ssn FROM customers EXCEPT SELECT 'x'", "UNION"),
        ("(SELECT * FROM customers) UNION ALL (SELECT * FROM customers)", "UNION"),
        ("VALUES ((SELECT ssn FROM customers LIMIT 1))", "a subquery"),
        ("INSERT INTO scratch SELECT id, ssn FROM customers", "a subquery"),
        (
            "INSERT INTO notes (id, body) VALUES (1, (SELECT ssn FROM customers LIMIT 1))",
            "a subquery",
        ),
        ("UPDATE notes SET body = c.ssn FROM customers c", "an assignment"),
        ("UPDATE notes SET body = 'x' FROM customers c WHERE c.ssn = 'x'", "WHERE"),
        ("UPDATE notes SET body = 'x' FROM customers c RETURNING c.ssn", "RETURNING"),
        ("UPDATE notes SET body = 'x' FROM customers c RETURNING *", "RETURNING"),
        ("DELETE FROM notes USING customers c WHERE c.ssn = body", "WHERE"),
        (
            "MERGE INTO notes n USING customers c ON n.id = c.id WHEN MATCHED THEN UPDATE SET body = c.ssn",
            "an assignment",
        ),
        ("MERGE INTO notes n USING customers c ON n.body = c.ssn WHEN MATCHED THEN DELETE", "ON"),
        ("COPY (SELECT id, ssn AS z FROM customers) TO STDOUT", "COPY"),
        ("EXECUTE p((SELECT ssn FROM customers))", "a subquery"),
    ];
    for (sql, words) in cases {
        bench.refuses(sql, words);
    }
}

#[test]
fn rows_and_disguises_are_refused() {
    let bench = Bench::masked();
    let cases = [
        ("SELECT c FROM customers c", "whole row"),
        ("SELECT customers FROM customers", "whole row"),
        ("SELECT app.customers FROM app.customers", "whole row"),
        ("SELECT c::text FROM customers c", "whole row"),
        ("SELECT (c).ssn FROM customers c", "whole row"),
        ("SELECT (c).* FROM customers c", "whole row"),
        ("SELECT (x.c).ssn FROM (SELECT c FROM customers c) x", "whole row"),
        ("SELECT row_to_json(c) FROM customers c", "whole row"),
        ("SELECT to_jsonb(customers) ->> 'ssn' FROM customers", "whole row"),
        ("SELECT ssn(c) FROM customers c", "whole row"),
        ("SELECT c.row_to_json FROM customers c", "row_to_json"),
        ("SELECT c.text FROM customers c", "text"),
        ("SELECT count(c) FROM customers c", "whole row"),
        ("SELECT row(c.*) FROM customers c", "star"),
        ("SELECT count(c.*) FROM customers c", "star"),
        ("SELECT (c.*)::text FROM customers c", "star"),
        ("SELECT c.* IS NULL FROM customers c", "star"),
        ("SELECT 1 FROM customers c WHERE c.* = ROW(1)", "star"),
        ("SELECT 1 FROM customers c ORDER BY c", "whole row"),
        ("SELECT 1 FROM customers c GROUP BY c.*", "star"),
        (
            "SELECT j FROM (customers JOIN orders o ON o.customer_id=customers.id) j LIMIT 1",
            "alias of its own",
        ),
        ("SELECT j.ssn FROM (customers JOIN orders USING (id)) AS j(a,b)", "alias of its own"),
        ("SELECT a FROM customers AS c(a,b,e,d)", "column aliases"),
        ("SELECT 1 FROM customers AS c(a,b,e,d) WHERE d LIKE '9%'", "column aliases"),
        ("SELECT ssn FROM customers NATURAL JOIN orders", "NATURAL"),
        ("SELECT ssn FROM customers NATURAL FULL JOIN (SELECT 'x'::text AS ssn) z", "NATURAL"),
        ("SELECT ssn FROM customers TABLESAMPLE SYSTEM (10)", "TABLESAMPLE"),
        ("SELECT ssn FROM customers FOR UPDATE", "locked"),
        ("SELECT id FROM customers FOR SHARE", "locked"),
        ("SELECT x.id FROM (SELECT id FROM customers FOR KEY SHARE) x", "locked"),
        ("SELECT unknown_name FROM customers", "not known"),
        ("SELECT c.unknown_name FROM customers c", "not known"),
        ("SELECT 1 FROM customers, LATERAL (SELECT * FROM customers) s", "a subquery"),
    ];
    for (sql, words) in cases {
        bench.refuses(sql, words);
    }
}

#[test]
fn a_with_query_hides_a_table_only_where_it_is_in_sight() {
    let bench = Bench::masked();
    bench.allows("WITH customers AS (SELECT 1 AS ssn) SELECT ssn || '' FROM customers");
    bench.allows("WITH RECURSIVE customers AS (SELECT 'a' AS ssn UNION ALL SELECT ssn || 'x' FROM customers) SELECT ssn FROM customers");
    let cases = [
        // Not in sight in itself, of what comes before it, outside its query, or by qualified name.
        "WITH customers AS (SELECT ssn || '' FROM customers) SELECT * FROM customers",
        "WITH a AS (SELECT ssn || '' FROM customers), customers AS (SELECT 1) SELECT * FROM a",
        "SELECT ssn || '' FROM customers, (WITH customers AS (SELECT 1 AS one) SELECT one FROM customers) x",
        "WITH customers AS (SELECT 1 AS one) SELECT ssn || '' FROM app.customers",
        "SELECT c.ssn || '' FROM (WITH customers AS (SELECT 1 AS one) SELECT one FROM customers) x, customers c",
        "WITH a AS (WITH customers AS (SELECT 1) INSERT INTO notes (id) SELECT 1 RETURNING id) SELECT ssn || '' FROM customers, a",
    ];
    for sql in cases {
        bench.refuses(sql, "is masked for you");
    }
    bench.refuses("WITH customers AS (SELECT 1) DELETE FROM customers", "not changed");
    bench.refuses("WITH customers AS (SELECT 1) INSERT INTO customers SELECT 1", "not changed");
}

#[test]
fn hidden_columns_are_not_even_selected() {
    let bench = Bench::masked();
    bench.allows("SELECT id, name FROM hr.staff");
    for sql in [
        "SELECT salary FROM hr.staff",
        "SELECT * FROM hr.staff",
        "SELECT s.* FROM hr.staff s",
        "SELECT max(salary) FROM hr.staff",
    ] {
        bench.refuses(sql, "may not be read");
    }
    let oid = 1249; // pg_attribute: missing values are rows' values
    assert!(bench.judge.masks().is_masked_table(oid));
    bench.allows("SELECT attname, atttypid FROM pg_attribute");
    bench.refuses("SELECT attmissingval FROM pg_attribute", "may not be read");
    bench.refuses("SELECT * FROM pg_attribute", "may not be read");
}

#[test]
fn families_share_their_labels() {
    let bench = Bench::masked();
    for table in ["events", "events_2025", "base", "derived"] {
        bench.allows(&format!("SELECT secret FROM {table}"));
        bench.refuses(&format!("SELECT upper(secret) FROM {table}"), "is masked for you");
    }
}

/// Generated columns, and those that must hold another's values: over however many steps.
#[test]
fn what_comes_from_a_masked_column_is_masked() {
    let (customers_ssn, refers_ssn) = (["18364", "4"], ["18573", "2"]);
    let derived: [(&str, &[&str]); 2] = [
        ("derived", &["18396", "2", refers_ssn[0], refers_ssn[1]]),
        ("derived", &["18573", "2", customers_ssn[0], customers_ssn[1]]),
    ];
    let catalog = catalog_with(&derived);
    let bench = Bench::over(catalog, OPEN_BUT_MASKED, LABELS, &["agents"], "t");
    bench.refuses("SELECT id FROM app.refers WHERE ssn = 'x'", "app.refers.ssn is masked");
    bench.refuses("SELECT k FROM app.scratch WHERE v = 'x'", "app.scratch.v is masked");
    assert!(bench.judge.masks().for_column(18_396, 2).is_some());
    assert!(bench.judge.masks().for_column(18_396, 1).is_none());
}

/// A label that is there before its column: an operator's migration comes after the configuration, and the catalog is read later still.
#[test]
fn a_column_that_may_be_there_by_now_is_named_nowhere() {
    let labels = "[columns]\n\"app.orders.token\" = \"secret\"\n\"app.base.token\" = \"secret\"\n";
    let bench = Bench::new(OPEN_BUT_MASKED, labels);
    for sql in [
        "SELECT left(token, 2) FROM orders",
        "SELECT o.token || '' FROM app.orders o",
        "SELECT count(*) FROM orders WHERE token LIKE 'a%'",
        "SELECT id FROM orders ORDER BY token",
        "SELECT o FROM orders o",
        "SELECT row_to_json(orders) FROM orders",
        "SELECT (o).token FROM orders o",
        "SELECT x.token FROM (SELECT * FROM orders) x",
        "SELECT left(x.a, 2) FROM (SELECT * FROM orders) x(a)",
        "WITH x AS (SELECT * FROM orders) SELECT count(*) FROM x",
        "SELECT * FROM orders UNION ALL SELECT * FROM orders",
        "SELECT left(b, 2) FROM orders AS o(a, b)",
        "UPDATE orders SET total = length(token)",
        "DELETE FROM orders RETURNING upper(token)",
        "INSERT INTO notes (body) SELECT token FROM orders",
        "COPY orders TO STDOUT",
        "SELECT token AS a FROM orders ORDER BY a",
        "SELECT id, token FROM orders ORDER BY 2",
        "SELECT DISTINCT token FROM orders",
        "SELECT DISTINCT * FROM orders",
        "SELECT * FROM orders ORDER BY 99",
        "SELECT token FROM orders GROUP BY token",
        "SELECT id FROM notes NATURAL JOIN orders",
        "SELECT id FROM notes WHERE (id, body) IN (TABLE orders)",
        "SELECT token(o) FROM orders o",
        "SELECT o.row_to_json FROM orders o",
        "SELECT id FROM orders o WHERE o.to_jsonb::text LIKE '%a%'",
        "SELECT left(token_lower, 2) FROM orders",
        "UPDATE orders SET total = total RETURNING upper(old.token)",
        "UPDATE orders SET total = total RETURNING old",
        "UPDATE orders SET total = total RETURNING to_jsonb(orders.*)",
        "SELECT 1 FROM customers JOIN orders USING (token)",
        "SELECT left(token, 2) FROM base",
        "SELECT left(token, 2) FROM derived",
    ] {
        bench.refuses(sql, "token");
    }
    // What there is is used as ever, and what comes of a star is looked at by its origin.
    for sql in [
        "SELECT * FROM orders",
        "SELECT token FROM orders",
        "SELECT * FROM orders ORDER BY 1",
        "SELECT DISTINCT id, total FROM orders",
        "SELECT o.*, c.name FROM orders o JOIN customers c ON c.id = o.customer_id",
        "SELECT upper(c.name), sum(total) FROM orders JOIN customers c ON c.id = customer_id GROUP BY 1",
        "UPDATE orders SET total = 1 WHERE id = 2",
        "SELECT x.id FROM (SELECT id FROM orders) x",
        "COPY (SELECT id FROM orders) TO STDOUT",
        "SELECT token FROM (SELECT 1 AS token) x",
        "DELETE FROM orders RETURNING *",
        "INSERT INTO orders (id, customer_id) VALUES (1, 2) RETURNING id",
        "WITH x AS (SELECT * FROM customers) SELECT x.id FROM x JOIN orders o ON o.customer_id = x.id",
        "SELECT x.token FROM (SELECT 1 AS token) x JOIN orders o ON o.id = x.token",
        "SELECT o.id FROM orders o WHERE EXISTS (SELECT 1 FROM customers c WHERE c.id = o.customer_id)",
        "EXPLAIN SELECT id FROM orders",
    ] {
        bench.allows(sql);
    }
    for sql in ["UPDATE orders SET total = 1", "SELECT total FROM masked.orders"] {
        assert!(bench.judge(sql).plan.scrub_errors, "{sql}");
    }
    let clear = Bench::new(verdict_support::OPEN, labels);
    clear.allows("SELECT left(token, 2) FROM orders");
}

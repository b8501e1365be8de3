//! What a target says of its own catalog: names, kinds, keys, the texts of views and expressions. One row a line, the query's name first,
//! values between tabs, `\N` for NULL.

use std::collections::BTreeMap;
use std::sync::Arc;

use gateway_core::sql::catalog::{CatalogRows, QUERIES};
use gateway_core::sql::{Catalog, Parsed, SessionState};
use gateway_core::verdict::Judge;
use tallyport_schemas::{CommandId, Effect};

use super::court::{context, judge_over};

/// Queries, kinds, and what texts of views are made of.
pub const WORDS: &[&[u8]] = &[
    b"\nrelations\t",
    b"\ncolumns\t",
    b"\nviews\t",
    b"\nview_uses\t",
    b"\ninherits\t",
    b"\nforeign_keys\t",
    b"\nexpressions\t",
    b"\nderived\t",
    b"\ntriggers\t",
    b"\nkeys\t",
    b"\nsizes\t",
    b"\ntypes\t",
    b"\ncasts\t",
    b"\nfunctions\tapp\t",
    b"\noperators\tapp\t",
    b"\tapp\tcustomers\tr\tf\tf",
    b"\tapp\tv\tv\tf\tf",
    b"\t18364",
    b"\t18400",
    b"\t4294967295",
    b"\t-1",
    b"\t\\N",
    b"\tt",
    b" SELECT * FROM v;",
    b" SELECT app.f(ssn) FROM app.customers;",
    b" UNION ALL SELECT ",
    b"((((((((((((((((",
];

/// How many of the relations that are told are asked for.
const ASKED: usize = 6;

/// A table, a view over it, a view over that, partitions, keys, and what has code of its own.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let table = "relations\t18364\tapp\tcustomers\tr\tf\tf\ncolumns\t18364\t1\tid\t23\ncolumns\t18364\t4\tssn\t25\n";
    let view = "relations\t18400\tapp\tv\tv\tf\tf\ncolumns\t18400\t1\ttax\t25\nviews\t18400\t SELECT customers.ssn AS tax\\n   FROM customers;\nview_uses\t18400\t18364\n";
    let round = "relations\t18401\tapp\tw\tv\tf\tf\ncolumns\t18401\t1\ttax\t25\nviews\t18401\t SELECT v.tax FROM v;\nview_uses\t18401\t18400\nviews\t18400\t SELECT w.tax FROM w;\nview_uses\t18400\t18401\n";
    let parts = "relations\t18410\tapp\tpart\tr\tf\tf\ncolumns\t18410\t1\tssn\t25\ninherits\t18410\t18364\ninherits\t18364\t18410\nforeign_keys\t18410\t18364\t1\t1\nforeign_keys\t18364\t18410\t1\t1\nkeys\t18364\t18500\t1\nsizes\t18364\t100\nderived\t18364\t4\t18364\t4\n";
    let code = "functions\tapp\tf\tplpgsql\tv\t\noperators\tapp\t===\tsql\t\ntypes\t18600\tapp\tmood\te\t\tf\t0\ncasts\t25\t18600\tsql\t\ntriggers\t18364\nexpressions\t18364\t(ssn ~ '^[0-9-]{11}$'::text)\nexpressions\t18364\tapp.f(ssn)\n";
    [
        table.to_owned(),
        format!("{table}{view}"),
        format!("{table}{view}{round}"),
        format!("{table}{parts}{code}"),
        format!("{table}{view}{parts}{code}database\tjudged\tmk_full\t150018\t\"$user\", app\npath\tapp\n"),
        String::new(),
    ]
    .map(String::into_bytes)
    .to_vec()
}

/// What is told is a catalog or is refused; every relation in it is judged, the same twice, and what is masked by its name stays so.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (rows, relations) = told(text);
    let Ok(catalog) = Catalog::from_rows(rows.clone()) else { return };
    let again = Catalog::from_rows(rows).expect("as before");
    assert_eq!(catalog.version(), again.version());
    let judge = judge_over(Arc::new(catalog));
    for relation in relations.iter().take(ASKED) {
        for statement in [
            format!("SELECT * FROM {relation}"),
            format!("SELECT x.ssn FROM {relation} x JOIN app.customers c ON x.ssn = c.ssn"),
            format!("DELETE FROM {relation} RETURNING *"),
            format!("UPDATE {relation} SET ssn = ssn"),
        ] {
            judged(&judge, &statement);
        }
    }
    // Whatever else the target says: what operators labelled by its name is read where its origin is looked at, and nothing is
    // computed of it.
    let (effect, masked) = judged(&judge, "SELECT ssn FROM app.customers");
    assert!(effect == Effect::Deny || masked, "it is read as it is");
    for computed in ["left(ssn, 2)", "c", "count(DISTINCT ssn)"] {
        let statement = format!("SELECT {computed} FROM app.customers c");
        assert_eq!(judged(&judge, &statement).0, Effect::Deny, "{statement}");
    }
}

/// What is decided, and whether what comes is masked by its origin.
fn judged(judge: &Judge, statement: &str) -> (Effect, bool) {
    let Ok(parsed) = Parsed::parse(statement) else { return (Effect::Deny, true) };
    let state = SessionState::new(vec!["app".to_owned()]);
    let ask = || judge.judge(&parsed, &state, &context(), CommandId::new());
    let (one, other) = (ask(), ask());
    assert_eq!(one.decision.effect, other.decision.effect, "{statement}");
    assert_eq!(one.facts, other.facts, "{statement}");
    (one.decision.effect, one.plan.masked)
}

/// The rows, and the relations of them as statements write them.
fn told(text: &str) -> (CatalogRows, Vec<String>) {
    let mut all: BTreeMap<&str, Vec<Vec<Option<String>>>> = BTreeMap::new();
    let mut relations = Vec::new();
    for line in text.lines() {
        let mut values = line.split('\t');
        let query = values.next().unwrap_or_default();
        let value = |value: &str| (value != "\\N").then(|| value.replace("\\n", "\n"));
        let row: Vec<_> = values.map(value).collect();
        if let ("relations", [_, Some(schema), Some(name), ..]) = (query, row.as_slice()) {
            let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
            relations.push(format!("{}.{}", quoted(schema), quoted(name)));
        }
        all.entry(query).or_default().push(row);
    }
    let named = |names: &[&str]| names.iter().map(|name| Some((*name).to_owned())).collect();
    all.entry("database").or_insert_with(|| vec![named(&["judged", "mk_full", "150018", "app"])]);
    all.entry("schemas")
        .or_insert_with(|| vec![named(&["11", "pg_catalog"]), named(&["18000", "app"])]);
    all.entry("path").or_insert_with(|| vec![named(&["pg_catalog"]), named(&["app"])]);
    let mut rows = CatalogRows::default();
    for query in QUERIES {
        rows.insert(query, all.remove(query.name).unwrap_or_default());
    }
    (rows, relations)
}

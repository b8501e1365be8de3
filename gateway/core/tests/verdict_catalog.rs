//! What the catalog says of views and functions decides what a statement means; and a catalog is whole or none.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests say what they expect by failing"
)]

mod verdict_support;

use verdict_support::{Bench, LABELS, OPEN, OPEN_BUT_MASKED, catalog, catalog_with};

/// The text of a view and what the catalog says that it uses both count.
#[test]
fn a_view_reaches_what_the_catalog_says_it_uses() {
    let oid = |name: &str| {
        let catalog = catalog();
        let named = |oid: &u32| {
            catalog
                .column(*oid, 1)
                .is_some_and(|c| c.table == name && c.schema.as_deref() == Some("app"))
        };
        (16_384..100_000).find(named).unwrap().to_string()
    };
    let uses: [(&str, &[&str]); 1] = [("view_uses", &[&oid("note_v"), &oid("customers")])];
    let bench = Bench::over(catalog_with(&uses), OPEN_BUT_MASKED, LABELS, &["agents"], "t");
    bench.refuses("SELECT * FROM note_v", "reads app.customers");
}

/// A view whose text names what the snapshot lacks, or cannot be read, may reach anything.
#[test]
fn a_view_that_cannot_be_followed_is_opaque() {
    for text in [" SELECT gone.x FROM gone;", " SELECT FROM FROM", ""] {
        let view: [(&str, &[&str]); 3] = [
            ("relations", &["90001", "app", "odd_v", "v", "f", "f"]),
            ("columns", &["90001", "1", "x", "25"]),
            ("views", &["90001", text]),
        ];
        let bench = Bench::over(catalog_with(&view), OPEN_BUT_MASKED, LABELS, &["agents"], "t");
        bench.refuses("SELECT x FROM odd_v", "view app.odd_v");
    }
}

#[test]
fn a_function_that_hides_set_config_is_not_it() {
    let own: [(&str, &[&str]); 1] = [("functions", &["app", "set_config", "sql", "v", ""])];
    let bench = Bench::over(catalog_with(&own), OPEN_BUT_MASKED, LABELS, &["agents"], "t");
    bench.refuses("SELECT set_config('jit', 'off', false)", "app.set_config");
    bench.allows("SELECT pg_catalog.set_config('jit', 'off', false)");
}

/// Reading it changes what the next statement means.
#[test]
fn a_view_that_changes_a_setting_cannot_be_seen_through() {
    // With the casts of `pg_get_viewdef` it is a call that cannot be read; without them it is a SET.
    let own: [(&str, &[&str]); 6] = [
        ("relations", &["99001", "app", "setter", "v", "f", "t"]),
        ("columns", &["99001", "1", "set_config", "25"]),
        ("relations", &["99002", "app", "plain_setter", "v", "f", "t"]),
        ("columns", &["99002", "1", "set_config", "25"]),
        ("views", &["99002", " SELECT set_config('search_path', 'hr', false) AS set_config;"]),
        (
            "views",
            &["99001", " SELECT set_config('search_path'::text, 'hr'::text, false) AS set_config;"],
        ),
    ];
    let bench = Bench::over(catalog_with(&own), OPEN, "", &["agents"], "t");
    assert!(bench.judge("SELECT * FROM app.setter").facts.opaque);
    assert!(bench.judge("SELECT * FROM app.plain_setter").facts.opaque);
    assert!(!bench.judge("SELECT * FROM app.note_v").facts.opaque);
}

/// A server that does not tell all of itself is no catalog.
#[test]
fn a_catalog_needs_every_query() {
    use gateway_core::sql::Catalog;
    use gateway_core::sql::catalog::{CatalogRows, QUERIES};
    for left_out in QUERIES {
        let mut rows = CatalogRows::default();
        for query in QUERIES.iter().filter(|query| *query != left_out) {
            let database =
                ["d", "u", "150000", "public"].map(|value| Some(value.to_owned())).to_vec();
            rows.insert(query, if query.name == "database" { vec![database] } else { Vec::new() });
        }
        let error = Catalog::from_rows(rows).unwrap_err().to_string();
        assert!(error.contains(left_out.name), "{error}");
    }
}

/// Labels go by name and masks by number: two of either would be one that is missed.
#[test]
fn a_catalog_tells_of_each_thing_once() {
    use gateway_core::sql::Catalog;
    use gateway_core::sql::catalog::{CatalogRows, QUERIES};
    let one = ("relations", vec!["7", "app", "t", "r", "f", "f"]);
    let column = ("columns", vec!["7", "1", "a", "25"]);
    for (twice, what) in [
        (("relations", vec!["8", "app", "t", "r", "f", "f"]), "app.t"),
        (("columns", vec!["7", "1", "b", "25"]), "column b of app.t"),
        (("columns", vec!["7", "2", "a", "25"]), "column a of app.t"),
    ] {
        let database = ("database", vec!["d", "u", "150000", "public"]);
        let told = [&database, &one, &column, &twice];
        let mut rows = CatalogRows::default();
        for query in QUERIES {
            let own = told.iter().filter(|(name, _)| *name == query.name);
            let row = |(_, row): &&(&str, Vec<&str>)| {
                row.iter().map(|value| Some((*value).to_owned())).collect()
            };
            rows.insert(query, own.map(row).collect());
        }
        let error = Catalog::from_rows(rows).unwrap_err().to_string();
        assert!(error.contains(what) && error.contains("twice"), "{error}");
    }
}

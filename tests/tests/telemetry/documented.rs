//! docs/reference/metrics.md, the contract in code, and what is served, say the same.

use std::collections::{BTreeMap, BTreeSet};

use dev_services::repo_root;
use tallyport_telemetry::{Kind, METRICS};

use crate::scrape::Scrape;

/// Type and labels of every metric of the page.
fn page() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let text = std::fs::read_to_string(repo_root().join("docs/reference/metrics.md")).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    let rows = rows.map(|line| line.split('|').map(str::trim).collect::<Vec<_>>());
    let in_ticks = |cell: &str| {
        let parts = cell.split('`').skip(1).step_by(2);
        parts.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    rows.filter(|cells| ["counter", "gauge", "histogram"].contains(&cells[2]))
        .map(|cells| {
            (cells[1].trim_matches('`').to_owned(), (cells[2].to_owned(), in_ticks(cells[3])))
        })
        .collect()
}

const fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

#[test]
fn the_page_lists_every_metric_and_no_other() {
    let page: BTreeMap<_, _> = page().into_iter().map(|(name, (kind, _))| (name, kind)).collect();
    let ours: BTreeMap<_, _> = METRICS
        .iter()
        .map(|metric| (metric.name.to_owned(), word(metric.kind).to_owned()))
        .collect();
    let documented = page.iter().filter(|(name, _)| name.starts_with("tallyport_"));
    let documented: BTreeMap<_, _> = documented.map(|(k, v)| (k.clone(), v.clone())).collect();
    assert_eq!(documented, ours);
    assert!(METRICS.iter().all(|metric| !metric.help.is_empty()));
}

/// Whether everything that is served is on the page, with this type and these labels.
pub fn names_are_those_of(served: &Scrape) {
    let page = page();
    for (name, kind) in &served.types {
        let (documented, _) = page.get(name).unwrap_or_else(|| panic!("`{name}` is on no page"));
        assert_eq!(documented, kind, "{name}");
    }
    let known = METRICS.iter().filter(|metric| served.types.contains_key(metric.name)).count();
    // Nobody is told by a webhook here, and no service is asked: those are served where there is one (`requests.rs`).
    assert!(known >= METRICS.len() - 6, "most are served after some load: {known}");
    for (series, labels) in served.labels() {
        let name = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|end| {
                series.strip_suffix(end).filter(|name| served.types.contains_key(*name))
            })
            .unwrap_or(series);
        let own: BTreeSet<String> = labels.keys().filter(|key| *key != "le").cloned().collect();
        assert_eq!(own, page[name].1, "labels of {name}");
    }
}

//! Dependency direction, from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Which of our packages each of our packages may depend on (outside its own tests).
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("tallyport-schemas", &[]),
    ("tallyport-lake", &[]),
    ("tallyport-eventlog", &["tallyport-schemas"]),
    ("tallyport-access", &["tallyport-schemas"]),
    (
        "gateway-core",
        &["tallyport-schemas", "tallyport-access", "tallyport-eventlog", "tallyport-detect"],
    ),
    ("tallyport-detect", &[]),
    (
        "tallyport-gateway",
        &[
            "tallyport-schemas",
            "tallyport-access",
            "tallyport-eventlog",
            "gateway-core",
            "tallyport-detect",
        ],
    ),
    ("tallyport-recorder", &["tallyport-schemas", "tallyport-eventlog", "tallyport-lake"]),
    (
        "tallyport-query",
        &["tallyport-schemas", "tallyport-access", "tallyport-eventlog", "tallyport-lake"],
    ),
    ("tallyport-telemetry", &[]),
    ("tallyport-console", &["tallyport-schemas", "tallyport-access", "gateway-core"]),
    (
        "tallyport",
        &[
            "tallyport-schemas",
            "tallyport-access",
            "tallyport-eventlog",
            "gateway-core",
            "tallyport-gateway",
            "tallyport-recorder",
            "tallyport-query",
            "tallyport-console",
            "tallyport-telemetry",
        ],
    ),
    ("dev-services", &[]),
];

/// Libraries that only these rooms may name.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("rdkafka", &["tallyport-eventlog"]),
    ("rusqlite", &["tallyport-eventlog"]),
    ("quinn", &["tallyport-gateway"]),
    ("h3", &["tallyport-gateway"]),
    ("h3-quinn", &["tallyport-gateway"]),
    ("pg_query", &["gateway-core"]),
    ("aho-corasick", &["tallyport-detect"]),
    ("regex-automata", &["tallyport-detect"]),
    ("cedar-policy", &["tallyport-access"]),
    ("jsonwebtoken", &["tallyport-access"]),
    ("uppsala", &["tallyport-access"]),
    ("bergshamra-c14n", &["tallyport-access"]),
    ("bergshamra-xml", &["tallyport-access"]),
    ("deltalake", &["tallyport-recorder", "tallyport-query"]),
    ("datafusion", &["tallyport-recorder", "tallyport-query"]),
    ("datafusion-postgres", &["tallyport-query"]),
    ("metrics-exporter-prometheus", &["tallyport-telemetry"]),
    ("metrics-exporter-otel", &["tallyport-telemetry"]),
    ("metrics-util", &["tallyport-telemetry"]),
    ("opentelemetry", &["tallyport-telemetry"]),
    ("opentelemetry_sdk", &["tallyport-telemetry"]),
    ("opentelemetry-otlp", &["tallyport-telemetry"]),
    ("tracing-opentelemetry", &["tallyport-telemetry"]),
    ("tracing-subscriber", &["tallyport-telemetry"]),
];

/// Members that test and measure the others; they may know everything and nothing may know them.
const OBSERVERS: &[&str] = &[
    "tallyport-tests",
    "tallyport-benches",
    "tallyport-lake-benches",
    "tallyport-policy-benches",
    "fuzz-targets",
];

/// Our packages and what each names outside its own tests.
fn edges() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(dev_services::repo_root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata runs");
    let named = |package: &cargo_metadata::Package| {
        package
            .dependencies
            .iter()
            .filter(|dependency| dependency.kind != DependencyKind::Development)
            .map(|dependency| dependency.name.clone())
            .collect()
    };
    metadata.packages.iter().map(|package| (package.name.to_string(), named(package))).collect()
}

#[test]
fn every_room_knows_only_whom_it_may() {
    let edges = edges();
    let ours: BTreeSet<&String> = edges.keys().collect();
    for (package, dependencies) in &edges {
        if OBSERVERS.contains(&package.as_str()) {
            continue;
        }
        let (_, allowed) = MAY_KNOW.iter().find(|(name, _)| name == package).unwrap_or_else(|| {
            panic!("{package} is a new room: say in tests/tests/tidy/edges.rs whom it may know")
        });
        for dependency in dependencies.iter().filter(|dependency| ours.contains(dependency)) {
            assert!(
                allowed.contains(&dependency.as_str()),
                "{package} must not know {dependency}; if that direction is right, write an ADR and change MAY_KNOW"
            );
        }
    }
}

#[test]
fn a_library_is_named_only_in_its_room() {
    for (package, dependencies) in &edges() {
        if OBSERVERS.contains(&package.as_str()) {
            continue;
        }
        for (library, rooms) in ONLY_IN {
            assert!(
                !dependencies.contains(*library) || rooms.contains(&package.as_str()),
                "{package} names {library}, which belongs to {rooms:?}"
            );
        }
    }
}

#[test]
fn one_version_of_what_must_be_one() {
    let metadata = MetadataCommand::new()
        .manifest_path(dev_services::repo_root().join("Cargo.toml"))
        .other_options(vec!["--locked".to_owned()])
        .exec()
        .expect("cargo metadata runs");
    for library in
        ["arrow", "parquet", "datafusion", "rustls", "object_store", "metrics", "opentelemetry"]
    {
        let versions: BTreeSet<String> = metadata
            .packages
            .iter()
            .filter(|package| package.name.as_str() == library)
            .map(|package| package.version.to_string())
            .collect();
        assert_eq!(
            versions.len(),
            1,
            "{library} must be in the lock file once, but is there as {versions:?}"
        );
    }
}

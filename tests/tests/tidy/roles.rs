//! A build of one role has what that role needs and no more: what makes its image small and its attack surface smaller.

use std::collections::BTreeSet;
use std::process::Command;

/// What a build of these features of the binary would link, by `cargo tree`, which resolves features as a build does.
fn linked(features: &[&str]) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--locked", "--offline", "-p", "tallyport", "--no-default-features"])
        .args(features.iter().flat_map(|feature| ["--features", feature]))
        .args(["--edges", "normal,build", "--prefix", "none", "--format", "{p}"])
        .current_dir(dev_services::repo_root())
        .output()
        .expect("cargo tree runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

fn lacks(features: &[&str], libraries: &[&str]) {
    let linked = linked(features);
    assert!(linked.len() > 50, "cargo tree says little: {linked:?}");
    for library in libraries {
        assert!(!linked.contains(*library), "a build with {features:?} pulls {library}");
    }
}

#[test]
fn the_gateway_alone_knows_no_lake() {
    let lake =
        ["datafusion", "deltalake", "tallyport-recorder", "tallyport-query", "tallyport-lake"];
    lacks(&["gateway"], &lake);
    assert!(linked(&["gateway"]).contains("rdkafka"), "a gateway writes to Kafka");
}

#[test]
fn the_recorder_alone_answers_nobody() {
    lacks(&["recorder"], &["tallyport-query", "datafusion-postgres"]);
    assert!(linked(&["recorder"]).contains("deltalake"), "a recorder writes the lake");
}

#[test]
fn the_query_service_alone_has_a_lake() {
    assert!(linked(&["query"]).contains("datafusion"), "a query service answers from the lake");
}

#[test]
fn a_client_has_no_log() {
    lacks(&[], &["datafusion", "deltalake", "rdkafka"]);
}

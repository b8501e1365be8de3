//! What is shipped under `deploy/`: every configuration passes `tallyport config check`, units, chart, compose file, rules,
//! dashboard, package and bill of materials are what they should be. `deploy/dev/check-deploy` does it; each part is a test
//! here, so that a failure names its part.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::process::Command;

use dev_services::repo_root;
use tallyport_tests::{binary, said, say_not_run};

/// Runs a part of the check. What it says did not run is said on the test's own standard error, where it is gathered.
fn holds(part: &str) {
    let output = Command::new(repo_root().join("deploy/dev/check-deploy"))
        .arg(part)
        .env("TALLYPORT_BIN", binary())
        .output()
        .expect("bash runs");
    let said = said(&output);
    for line in said.lines() {
        if let Some((_, why)) = line.split_once("NOT RUN: ") {
            say_not_run(&format!("deploy ({part})"), &why);
        }
    }
    assert!(output.status.success(), "{said}");
}

#[test]
fn every_shipped_configuration_is_in_order() {
    assert!(binary().exists(), "{} is missing: build it with make build", binary().display());
    holds("configs");
}

#[test]
fn units_are_valid_and_confined() {
    holds("systemd");
}

#[test]
fn images_are_built_as_releases_are() {
    holds("containers");
}

#[test]
fn the_compose_site_is_whole_and_hardened() {
    holds("compose");
}

#[test]
fn the_chart_renders_what_the_binary_takes() {
    holds("helm");
}

#[test]
fn alerts_fire_when_they_should_and_have_runbooks() {
    holds("alerts");
}

#[test]
fn the_dashboard_shows_every_metric_and_no_other() {
    holds("dashboard");
}

#[test]
fn the_bill_of_materials_is_of_one_build_and_reproducible() {
    holds("sbom");
}

#[test]
fn the_debian_package_has_what_it_needs() {
    holds("deb");
}

//! What may never be committed, and what every package must have.

use std::process::Command;

use crate::sizes::rust_files;

#[test]
fn every_package_inherits_the_lints() {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(dev_services::repo_root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata runs");
    for package in &metadata.packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("readable");
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{} must have `[lints] workspace = true`: unsafe code and panics are refused there",
            package.name
        );
    }
    let root =
        std::fs::read_to_string(dev_services::repo_root().join("Cargo.toml")).expect("readable");
    assert!(root.contains("unsafe_code = \"forbid\""), "unsafe code is forbidden in our crates");
}

#[test]
fn no_machine_path_is_committed() {
    let listed = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(dev_services::repo_root())
        .output()
        .expect("git ls-files runs");
    // Written apart, so that this file does not name what it looks for.
    let needles =
        [["/ro", "ot/"], ["/var/tm", "p/tally"], ["/wor", "k/main"], ["/home/", "runner"]]
            .map(|parts| parts.concat());
    let mut found = Vec::new();
    for name in String::from_utf8_lossy(&listed.stdout).split('\0').filter(|name| !name.is_empty())
    {
        let Ok(text) = std::fs::read_to_string(dev_services::repo_root().join(name)) else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            if needles.iter().any(|needle| line.contains(needle.as_str())) {
                found.push(format!("{name}:{}: {line}", number + 1));
            }
        }
    }
    assert!(found.is_empty(), "paths of one machine:\n{}", found.join("\n"));
}

#[test]
fn nothing_is_left_unfinished() {
    let needles = [["todo", "!("], ["unimpl", "emented!("], ["FIX", "ME"], ["TO", "DO:"]]
        .map(|parts| parts.concat());
    let mut found = Vec::new();
    for (name, path) in rust_files() {
        let text = std::fs::read_to_string(&path).expect("readable");
        for (number, line) in text.lines().enumerate() {
            if needles.iter().any(|needle| line.contains(needle.as_str())) {
                found.push(format!("{name}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "finish or remove:\n{}", found.join("\n"));
}

#[test]
fn dev_scripts_source_the_contract() {
    let folder = dev_services::repo_root().join("deploy/dev");
    for entry in std::fs::read_dir(folder).expect("readable").filter_map(Result::ok) {
        let Ok(text) = std::fs::read_to_string(entry.path()) else { continue };
        if text.starts_with("#!/usr/bin/env bash") {
            assert!(
                text.contains("lib.sh"),
                "{:?} must source lib.sh and keep its contract",
                entry.path()
            );
        }
    }
}

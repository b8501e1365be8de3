//! What a build says of itself.
#![allow(clippy::unwrap_used, reason = "tests say what they expect by failing")]

use std::process::Command;

fn said(argument: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_tallyport")).arg(argument).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The commit that a build of now must say: none where the sources are no checkout, and where a release names its own.
fn commit() -> Option<String> {
    let root = dev_services::repo_root();
    if !root.join(".git").exists() || option_env!("TALLYPORT_COMMIT").is_some() {
        return None;
    }
    let mut git = Command::new("git");
    git.arg("-C").arg(root).args(["rev-parse", "--short=12", "HEAD"]);
    let output = git.output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

#[test]
fn the_version_says_what_a_report_needs() {
    let long = said("--version");
    let lines: Vec<&str> = long.lines().collect();
    assert_eq!(lines.first(), Some(&concat!("tallyport ", env!("CARGO_PKG_VERSION"))), "{long}");
    let told = |start: &str| {
        lines.iter().find_map(|line| line.strip_prefix(start)).unwrap_or_default().to_owned()
    };
    for start in ["commit ", "event schema ", "OCSF ", "this build "] {
        assert!(!told(start).is_empty(), "no line `{start}`: {long}");
    }
    match commit() {
        Some(commit) => assert_eq!(told("commit "), commit, "{long}"),
        None => eprintln!("NOT RUN: that it is this commit: the sources are no checkout of git"),
    }
    assert_eq!(told("event schema "), tallyport_schemas::SCHEMA_VERSION, "{long}");
    assert_eq!(said("-V").lines().count(), 1);
}

/// A library that is there on the machine that builds, and found by chance, must not be asked of the machine that runs.
#[test]
fn it_needs_the_c_library_and_no_other() {
    let read = Command::new("readelf").args(["-d", env!("CARGO_BIN_EXE_tallyport")]).output();
    let said = String::from_utf8(read.unwrap().stdout).unwrap();
    let needed = said.lines().filter(|line| line.contains("(NEEDED)"));
    let needed: Vec<&str> = needed
        .filter_map(|line| line.split_once('[')?.1.split_once(']'))
        .map(|(library, _)| library)
        .collect();
    assert!(needed.contains(&"libc.so.6"), "{said}");
    let of_glibc = ["libc.so.", "libm.so.", "libgcc_s.so.", "ld-linux"];
    for library in needed {
        assert!(of_glibc.iter().any(|it| library.starts_with(it)), "{library} is needed, too");
    }
}

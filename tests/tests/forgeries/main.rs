//! I1 and I2 as types: programs that go round the log, and must not compile, each for the reason that it names.
//!
//! They are compiled against the very libraries that the other tests use; a build of their own would take CI minutes.

#![expect(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a broken set-up ends the test"
)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use cargo_metadata::{Message, TargetKind};
use serde_json::Value;
use tallyport_eventlog::Durable;

/// What a program says of itself at the end of a line: `//~ E0599: the beginning of the message`.
const EXPECTED: &str = "//~ ";

#[test]
fn what_goes_round_the_log_does_not_compile() {
    let libraries = libraries();
    let mut failures = Vec::new();
    let mut tried = 0;
    for entry in programs().read_dir().expect("the programs are there") {
        let path = entry.expect("an entry").path();
        tried += 1;
        let text = std::fs::read_to_string(&path).expect("it can be read");
        assert!(text.contains(EXPECTED), "{} names no error, so it might compile", path.display());
        if let Err(failure) = refused_as_said(&path, &libraries) {
            failures.push(failure);
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!(tried, 20, "a program was added or lost: count it here");
}

/// What the forgeries are measured against: the judge tells a program that compiles, and another reason, from what it expects.
#[test]
fn a_program_that_compiles_or_fails_for_another_reason_is_noticed() {
    let libraries = libraries();
    let dir = tempfile::tempdir().expect("a directory");
    let judged = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).expect("written");
        refused_as_said(&path, &libraries)
    };
    let lawful = "use tallyport_eventlog::Durable;\n\
                  pub fn take(durable: Durable<String>) -> String { durable.into_inner() }\nfn main() {}\n";
    judged("lawful.rs", lawful).expect("it compiles and expects no error");
    let expecting = format!("{lawful}{EXPECTED}E0599: no method\n");
    judged("expecting.rs", &expecting).expect_err("it compiles, and says that it does not");
    let other = "fn main() { nothing(); } //~ E0599: no method\n";
    let said = judged("other.rs", other).expect_err("it fails for another reason");
    assert!(said.contains("E0425"), "{said}");
}

/// What may be done with a `Durable`.
#[test]
fn a_durable_can_be_looked_at_and_given_up() {
    fn take(durable: Durable<String>) -> String {
        let _on_record = (durable.get().len(), durable.positions().len());
        durable.into_inner()
    }
    let _compiles: fn(Durable<String>) -> String = take;
}

fn programs() -> PathBuf {
    dev_services::repo_root().join("tests/tests/forgeries/programs")
}

/// The two libraries that the programs use, of the build that this test belongs to. All of it is fresh, so cargo only says where.
fn libraries() -> Vec<(&'static str, PathBuf)> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // What cargo tells a test about its package would make build scripts run anew that look at it.
    for (name, _) in std::env::vars_os() {
        let told =
            ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_", "CARGO_PRIMARY_"];
        if told.iter().any(|prefix| name.to_string_lossy().starts_with(prefix)) {
            cargo.env_remove(name);
        }
    }
    let done = cargo
        .args(["test", "--workspace", "--test", "forgeries", "--no-run", "--offline", "--locked"])
        .args(["--quiet", "--message-format", "json"])
        .current_dir(dev_services::repo_root())
        .output()
        .expect("cargo runs");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
    let built: Vec<_> = Message::parse_stream(done.stdout.as_slice())
        .filter_map(|message| match message.expect("a message of cargo's") {
            Message::CompilerArtifact(artifact) => Some(artifact),
            _ => None,
        })
        .collect();
    let library = |name: &'static str| {
        let found = built.iter().find(|artifact| {
            artifact.target.name == name
                && artifact.target.kind.contains(&TargetKind::Lib)
                && !artifact.profile.test
        });
        let files = &found.unwrap_or_else(|| panic!("{name} was not built")).filenames;
        let file = files.iter().find(|file| file.extension() == Some("rlib"));
        (
            name,
            file.unwrap_or_else(|| panic!("no library among {files:?}"))
                .clone()
                .into_std_path_buf(),
        )
    };
    vec![library("gateway_core"), library("tallyport_eventlog")]
}

/// `Ok` when the compiler finds exactly the errors that the program says.
fn refused_as_said(program: &Path, libraries: &[(&str, PathBuf)]) -> Result<(), String> {
    let text = std::fs::read_to_string(program).map_err(|error| error.to_string())?;
    let mut expected = Vec::new();
    for (number, line) in (1_u64..).zip(text.lines()) {
        if let Some((_, said)) = line.split_once(EXPECTED) {
            let (code, message) = said.split_once(": ").expect("a code and a message");
            expected.push((number, code, message));
        }
    }
    let found = errors(program, libraries);
    let fits = |error: &(u64, String, String)| {
        let (line, code, message) = error;
        expected
            .iter()
            .any(|(at, say, begin)| at == line && say == code && message.starts_with(begin))
    };
    let lines: BTreeSet<u64> = found.iter().map(|(line, ..)| *line).collect();
    let missed = expected.iter().filter(|(line, ..)| !lines.contains(line)).count();
    if missed == 0 && found.iter().all(fits) {
        return Ok(());
    }
    Err(format!("{}: said {expected:?}, the compiler found {found:?}", program.display()))
}

/// Line, code and message of each error that rustc finds.
fn errors(program: &Path, libraries: &[(&str, PathBuf)]) -> Vec<(u64, String, String)> {
    let out = tempfile::tempdir().expect("a directory");
    let deps = std::env::current_exe().expect("the test's own path");
    let mut rustc = Command::new("rustc");
    rustc
        .args(["--edition", "2024", "--crate-type", "bin", "--emit", "metadata"])
        .args(["--error-format", "json", "--out-dir"])
        .arg(out.path())
        .arg("-L")
        .arg(format!(
            "dependency={}",
            deps.parent().expect("it lies among the dependencies").display()
        ));
    for (name, file) in libraries {
        rustc.arg("--extern").arg(format!("{name}={}", file.display()));
    }
    let done = rustc.arg(program).output().expect("rustc runs");
    let said = String::from_utf8_lossy(&done.stderr);
    let mut found = Vec::new();
    for line in said.lines() {
        let diagnostic: Value =
            serde_json::from_str(line).unwrap_or_else(|_| panic!("not JSON: {said}"));
        // The last one, "aborting due to", is about no place.
        let span = diagnostic["spans"]
            .as_array()
            .and_then(|spans| spans.iter().find(|span| span["is_primary"] == true));
        if let (Some("error"), Some(span)) = (diagnostic["level"].as_str(), span) {
            let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
            let at = span["line_start"].as_u64().unwrap_or_default();
            found.push((at, text(&diagnostic["code"]["code"]), text(&diagnostic["message"])));
        }
    }
    assert_eq!(found.is_empty(), done.status.success(), "{}: {said}", program.display());
    found
}

//! What docs/mcp-clients.md has people paste: it reads as what it is, and starts a command that there is.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests say what they expect by failing")]

use std::process::{Command, Stdio};

use serde_json::Value;

/// The arguments of every command of ours in a configuration.
fn commands(value: &Value, found: &mut Vec<Vec<String>>) {
    let command = value["command"].as_str().unwrap_or_default();
    if command.rsplit('/').next() == Some("tallyport") {
        let words = value["args"].as_array().unwrap().iter();
        found.push(words.map(|it| it.as_str().unwrap().to_owned()).collect());
    }
    for inner in value.as_object().into_iter().flat_map(|it| it.values()) {
        commands(inner, found);
    }
}

#[test]
fn every_block_reads_and_starts_a_command_that_there_is() {
    let page = dev_services::repo_root().join("docs/mcp-clients.md");
    let page = std::fs::read_to_string(page).unwrap();
    let mut found = Vec::new();
    for block in page.split("\n```").skip(1).step_by(2) {
        let (kind, text) = block.split_once('\n').unwrap();
        match kind {
            "json" => commands(&serde_json::from_str(text).unwrap(), &mut found),
            "toml" => commands(&toml::from_str(text).unwrap(), &mut found),
            "sh" => found.extend(text.lines().filter_map(|line| {
                let (_, ours) = line.split_once("-- tallyport ")?;
                Some(ours.split(' ').map(str::to_owned).collect())
            })),
            other => panic!("what is a block of {other}?"),
        }
    }
    assert_eq!(found.len(), 9, "{found:?}");
    for arguments in found {
        assert_eq!(arguments[0], "mcp", "{arguments:?}");
        // Nobody says anything to it, so it ends; what it is given need not be there.
        let ran = Command::new(env!("CARGO_BIN_EXE_tallyport"))
            .args(&arguments)
            .stdin(Stdio::null())
            .env_clear()
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr);
        assert!(!said.contains("Usage:") && !said.contains("unexpected"), "{arguments:?}: {said}");
        let without: Vec<_> =
            arguments.iter().map(|it| it.replace("--gateway", "--gate")).collect();
        let ran = Command::new(env!("CARGO_BIN_EXE_tallyport")).args(without).output().unwrap();
        assert!(String::from_utf8_lossy(&ran.stderr).contains("Usage:"), "the check can fail");
    }
}

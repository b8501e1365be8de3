//! `tallyport config check` says what a start would.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "tests say what they expect by failing"
)]

use std::path::Path;
use std::process::{Command, Output};

use tallyport_gateway::tls::DevCa;

const HEAD: &str = "[log]\nurl = \"embedded:log\"\n[[issuers]]\nissuer = \"https://idp.example\"\naudiences = [\"a\"]\n\
                    [policy]\npath = \"policy.cedar\"\n[lake]\nurl = \"file:///lake\"\n";
const GATEWAY: &str =
    "[gateway]\nlisten = \"127.0.0.1:0\"\ncert = \"tls/server.pem\"\nkey = \"tls/server.key\"\n";

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    DevCa::create_or_load(&folder.path().join("tls")).unwrap();
    let policy = "@id(\"all\") permit (principal, action, resource);";
    std::fs::write(folder.path().join("policy.cedar"), policy).unwrap();
    folder
}

fn check(folder: &Path, text: &str, more: &[&str], node: Option<&str>) -> (Option<i32>, String) {
    let file = folder.join("t.toml");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tallyport"));
    command.args(["config", "check"]).arg(&file).args(more).env_remove("TALLYPORT_NODE");
    if let Some(node) = node {
        command.env("TALLYPORT_NODE", node);
    }
    let Output { status, stdout, stderr } = command.output().unwrap();
    let said = [stdout, stderr].map(|bytes| String::from_utf8(bytes).unwrap()).concat();
    (status.code(), said)
}

fn target(name: &str) -> String {
    format!(
        "[[targets]]\nname = \"{name}\"\naddress = \"db:5432\"\ndatabase = \"d\"\nuser = \"u\"\npassword = {{ env = \"P\" }}\n"
    )
}

#[test]
fn names_must_be_of_one_alone() {
    let folder = folder();
    let server = |name: &str| {
        format!("[[gateway.mcp.servers]]\nname = \"{name}\"\nurl = \"https://crm.example/mcp\"\n")
    };
    let mcp = "[gateway.mcp]\nhosts = [\"localhost:1\"]\n";
    for (more, twice) in [
        (format!("{}{}", target("a"), target("b")), None),
        (format!("{}{}", target("a"), target("a")), Some("targets.a: the name is used twice")),
        (format!("{mcp}{}{}", server("c"), target("a")), None),
        (
            format!("{mcp}{}{}", server("a"), target("a")),
            Some("gateway.mcp.servers.a: the name is used twice, or is a target's"),
        ),
        (
            format!("{mcp}{}{}", server("c"), server("c")),
            Some("gateway.mcp.servers.c: the name is used twice"),
        ),
    ] {
        let text = format!("node = \"n\"\n{HEAD}{GATEWAY}{more}");
        let (code, said) = check(folder.path(), &text, &[], None);
        match twice {
            None => assert_eq!(code, Some(0), "{said}"),
            Some(twice) => {
                assert_eq!(code, Some(2), "{said}");
                assert!(said.contains(twice), "{said}");
            }
        }
    }
}

/// Who answers somebody has to know whom and by which policy; a recorder answers nobody.
#[test]
fn who_is_trusted_and_policy_are_asked_for_where_somebody_is_answered() {
    let folder = folder();
    let issuers = "[[issuers]]\nissuer = \"https://idp.example\"\naudiences = [\"a\"]\n";
    let policy = "[policy]\npath = \"policy.cedar\"\n";
    let absent = "[policy]\npath = \"absent.cedar\"\n";
    let bare = HEAD.replace(issuers, "").replace(policy, "");
    let query = "[query]\nhttp = \"127.0.0.1:1\"\n";
    for (role, more, problem) in [
        ("[recorder]\n", String::new(), None),
        ("[recorder]\n", absent.to_owned(), None),
        (GATEWAY, policy.to_owned(), Some("t.toml: issuers: at least one [[issuers]]")),
        (query, policy.to_owned(), Some("t.toml: issuers: at least one [[issuers]]")),
        (GATEWAY, issuers.to_owned(), Some("t.toml: policy: [policy] with path is needed")),
        (query, issuers.to_owned(), Some("t.toml: policy: [policy] with path is needed")),
        (query, format!("{issuers}{absent}"), Some("absent.cedar")),
        (query, format!("{issuers}{policy}"), None),
    ] {
        let text = format!("node = \"n\"\n{bare}{role}{more}");
        let (code, said) = check(folder.path(), &text, &[], None);
        assert_eq!(code, Some(if problem.is_some() { 2 } else { 0 }), "{text}{said}");
        assert!(problem.is_none_or(|problem| said.contains(problem)), "{text}{said}");
    }
}

#[test]
fn tokens_of_readers_cross_no_network_in_the_clear() {
    let folder = folder();
    let tls = "cert = \"tls/server.pem\"\nkey = \"tls/server.key\"\n";
    for face in ["http", "pgwire"] {
        for (address, tls, good) in
            [("127.0.0.1:1", "", true), ("0.0.0.0:1", "", false), ("0.0.0.0:1", tls, true)]
        {
            let text = format!("node = \"n\"\n{HEAD}[query]\n{face} = \"{address}\"\n{tls}");
            let (code, said) = check(folder.path(), &text, &[], None);
            assert_eq!(code, Some(if good { 0 } else { 2 }), "{said}");
            let told = format!("query.{face} listener {address} is not on loopback and has no TLS");
            assert_eq!(said.contains(&told), !good, "{said}");
        }
    }
}

/// What rewrites files needs no name; and why nobody answers is said.
#[test]
fn what_is_not_needed_is_not_asked_for_and_causes_are_told() {
    let folder = folder();
    let file = folder.path().join("t.toml");
    let lake = format!("file://{}", folder.path().join("lake").display());
    let text = format!("{}[recorder]\n", HEAD.replace("file:///lake", &lake));
    std::fs::write(&file, text).unwrap();
    let file = file.to_string_lossy().into_owned();
    for (arguments, says) in [
        (&["lake", "compact", "--config", &file][..], "there is no lake at"),
        (&["whoami", "--gateway", "127.0.0.1:1", "--token", "t"], "Connection refused"),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallyport"));
        let output = command.args(arguments).env_remove("TALLYPORT_NODE").output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(says), "{said}");
    }
}

#[test]
fn a_machine_has_its_name_from_the_file_or_from_outside() {
    let folder = folder();
    let bare = format!("{HEAD}{GATEWAY}");
    let named = format!("node = \"n\"\n{bare}");
    let bad = format!("node = \"\"\n{bare}");
    for (text, more, node, says) in [
        (&named, &[][..], None, Ok(())),
        (&bare, &["--node", "m"], None, Ok(())),
        (&bare, &[], Some("m"), Ok(())),
        (&bare, &[], None, Err("node: this machine has no name; set it in the file, with --node")),
        (&named, &["--node", ""], None, Err("--node (or TALLYPORT_NODE): ")),
        // What stands in the file is looked at all the same.
        (&bad, &["--node", "m"], None, Err("node: ")),
    ] {
        let (code, said) = check(folder.path(), text, more, node);
        match says {
            Ok(()) => assert_eq!(code, Some(0), "{said}"),
            Err(words) => {
                assert_eq!(code, Some(2), "{said}");
                assert!(said.contains(words), "{said}");
            }
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_named_with_its_key() {
    let folder = folder();
    let masking = "[masking]\npath = \"masking.toml\"\n";
    let (code, said) =
        check(folder.path(), &format!("node = \"gw-1\"\n{HEAD}{masking}{GATEWAY}"), &[], None);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("t.toml: masking.path: ") && said.contains("masking.toml"), "{said}");
    let no_policy = HEAD.replace("policy.cedar", "absent.cedar");
    let (code, said) =
        check(folder.path(), &format!("node = \"gw-1\"\n{no_policy}{GATEWAY}"), &[], None);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("t.toml: policy.path: ") && said.contains("absent.cedar"), "{said}");
    std::fs::remove_file(folder.path().join("tls/server.pem")).unwrap();
    let (code, said) =
        check(folder.path(), &format!("node = \"gw-1\"\n{HEAD}{GATEWAY}"), &[], None);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("t.toml: gateway.cert, gateway.key: "), "{said}");
}

#[test]
fn a_recorder_that_could_not_start_is_not_in_order() {
    let folder = folder();
    for (keys, says) in [
        ("commit_max_rows = 0", "recorder.commit_max_rows: 0 would never commit"),
        ("commit_max_bytes = 0", "recorder.commit_max_bytes: 0 would never commit"),
        ("commit_max_bytes = 1000000000", "recorder.commit_max_bytes: at most 268435456"),
        ("partitions = []", "recorder.partitions: name at least one"),
        ("commit_max_rows = \"7\"", "expected a whole number from 0 on"),
    ] {
        let text = format!("node = \"rec-1\"\n{HEAD}[recorder]\n{keys}\n");
        let (code, said) = check(folder.path(), &text, &[], None);
        assert_eq!(code, Some(2), "{keys}: {said}");
        assert!(said.contains(says), "{keys}: {said}");
    }
}

#[test]
fn how_a_service_ends_is_a_line_as_its_others_are() {
    let folder = folder();
    let text = format!("node = \"gw-1\"\n{HEAD}[recorder]\ncommit_max_rows = 0\n");
    std::fs::write(folder.path().join("t.toml"), text).unwrap();
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tallyport"));
        command.args(["up", "--config"]).arg(folder.path().join("t.toml")).args(more);
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        String::from_utf8(output.stderr).unwrap()
    };
    let line = run(&["--log-json"]);
    let line: serde_json::Value = serde_json::from_str(line.trim_end()).expect(&line);
    assert_eq!((&line["level"], &line["fields"]["exit_code"]), (&"ERROR".into(), &2.into()));
    assert!(line["fields"]["error"].as_str().unwrap().contains("recorder.commit_max_rows"));
    assert!(run(&[]).starts_with("tallyport: "), "people read words");
}

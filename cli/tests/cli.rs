//! The command line as a contract: exit codes, what errors say, what help shows.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tallyport_gateway::tls::DevCa;

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tallyport"))
        .args(arguments)
        .env_remove("TALLYPORT_READY_FILE")
        .env_remove("TALLYPORT_TOKEN")
        .output()
        .expect("the binary runs")
}

fn said(output: &Output) -> String {
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn exits(arguments: &[&str], code: i32, saying: &str) {
    let output = run(arguments);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", said(&output));
    assert!(
        said(&output).contains(saying),
        "{arguments:?} should say `{saying}`: {}",
        said(&output)
    );
}

fn examples() -> PathBuf {
    dev_services::repo_root().join("deploy/examples")
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("writable");
    path.to_string_lossy().into_owned()
}

#[cfg(not(feature = "recorder"))]
#[test]
fn a_role_that_is_not_built_in_is_named() {
    exits(&["recorder", "--config", "absent.toml"], 2, "lacks the feature `recorder`");
    exits(&["demo"], 2, "lacks the feature `dev`");
}

#[test]
fn a_name_from_outside_is_checked_as_one_of_the_file() {
    let config = examples().join("tallyport.toml");
    let config = config.to_string_lossy();
    exits(&["up", "--config", &config, "--node", "two words"], 2, "--node");
}

#[test]
fn help_names_every_command_and_the_exit_codes() {
    let output = run(&["--help"]);
    let text = said(&output);
    assert!(output.status.success());
    let commands =
        "demo dev up gateway recorder query connect sql ask sessions policy config mcp-servers";
    for command in commands.split(' ') {
        assert!(text.contains(&format!("\n  {command} ")), "{command} is missing:\n{text}");
    }
    assert!(text.contains("Exit codes:") && text.contains("Examples:"));
}

#[test]
fn the_questions_are_listed_for_everybody() {
    exits(&["ask"], 0, "who-read-column");
    exits(&["ask", "--json"], 0, "\"name\": \"denied\"");
    exits(&["ask", "denied"], 2, "who is asking?");
}

#[test]
fn usage_is_the_same_whatever_the_environment_sets() {
    let output = Command::new(env!("CARGO_BIN_EXE_tallyport"))
        .arg("sql")
        .env("TALLYPORT_READY_FILE", "ready.json")
        .output()
        .expect("the binary runs");
    assert_eq!(output.status.code(), Some(2));
    assert!(said(&output).contains("Usage: tallyport sql [OPTIONS] <SQL>\n"), "{}", said(&output));
}

#[test]
fn bad_usage_is_exit_code_2() {
    exits(&["nonsense"], 2, "unrecognized subcommand");
    exits(&["sql", "SELECT 1"], 2, "who is asking?");
    exits(&["connect", "sample", "--token", "x"], 2, "where is the gateway?");
    exits(&["ask", "denied", "--token", "x"], 2, "where is the query service?");
    exits(&["mcp-servers", "show", "a/b", "--token", "x"], 2, "no name of a server");
    exits(&["mcp-servers", "accept", "crm", "find", "--reason", "x"], 2, "--sha256");
    exits(
        &["sessions", "show", "not-an-id", "--token", "x", "--query-url", "http://127.0.0.1:9"],
        2,
        "no SessionId",
    );
    exits(
        &["sql", "SELECT 1", "--ready-file", "/nonexistent.json", "--as", "auditor"],
        2,
        "is `tallyport dev --ready-file` running?",
    );
}

#[test]
fn a_service_that_is_not_there_is_exit_code_1() {
    exits(
        &["sql", "SELECT 1", "--token", "x", "--query-url", "http://127.0.0.1:9"],
        1,
        "could not be asked",
    );
}

#[test]
fn dev_says_at_once_that_the_database_does_not_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data").to_string_lossy().into_owned();
    let ready = folder.path().join("ready.json").to_string_lossy().into_owned();
    let url = "postgres://me:hunter2@127.0.0.1:9/shop";
    let arguments = ["dev", "--data", &data, "--ready-file", &ready, "--target-url", url];
    exits(&arguments, 1, "the database `shop` of 127.0.0.1:9 cannot be used");
    assert!(!said(&run(&arguments)).contains("hunter2"));
    assert!(!Path::new(&ready).exists(), "it was not ready");
}

#[test]
fn dev_listens_on_loopback_only() {
    exits(&["dev", "--listen", "0.0.0.0:0"], 2, "loopback only");
}

#[test]
fn policies_are_checked_and_tested() {
    let folder = tempfile::tempdir().expect("a temporary directory");
    let policy = examples().join("policy.cedar");
    let policy = policy.to_string_lossy();
    exits(&["policy", "check", &policy], 0, "policies, version");
    let bad = file(
        folder.path(),
        "bad.cedar",
        "@id(\"x\") @maks(\"redact\") permit (principal, action, resource);",
    );
    exits(&["policy", "check", &bad], 2, "maks");
    let cases = |expect: &str| {
        format!(
            "[[case]]\nname = \"nobody may connect\"\nprincipal = {{ kind = \"agent\" }}\naction = \"sql:connect\"\n\
             on = {{ database = \"sample/sample\" }}\nexpect = \"{expect}\"\n"
        )
    };
    let right = file(folder.path(), "right.toml", &cases("deny"));
    exits(&["policy", "test", &policy, "--cases", &right], 0, "1 cases, 0 wrong");
    let wrong = file(folder.path(), "wrong.toml", &cases("allow"));
    exits(&["policy", "test", &policy, "--cases", &wrong], 1, "expected allow, decided deny");
    let unknown =
        file(folder.path(), "unknown.toml", &cases("deny").replace("sql:connect", "sql:nothing"));
    exits(&["policy", "test", &policy, "--cases", &unknown], 2, "is no action");
    // What waits for an approval is not simply allowed.
    let waiting = |expect: &str| {
        format!(
            "[[case]]\nname = \"operators ask before they delete\"\nprincipal = {{ groups = [\"operators\"] }}\n\
             action = \"sql:delete\"\non = {{ table = \"sample/sample/app/orders\" }}\n\
             context = {{ has_where = true, by_key = true, estimated_rows = 1 }}\nexpect = \"{expect}\"\n"
        )
    };
    let right = file(folder.path(), "waits.toml", &waiting("pause"));
    exits(&["policy", "test", &policy, "--cases", &right], 0, "1 cases, 0 wrong");
    let wrong = file(folder.path(), "runs.toml", &waiting("allow"));
    exits(&["policy", "test", &policy, "--cases", &wrong], 1, "expected allow, decided pause");
}

/// Checks the shipped configuration with one text replaced, beside the shipped policy and these labels.
fn check_with(place: &str, written: &str, masking: &str) -> (Option<i32>, String) {
    let shipped = std::fs::read_to_string(examples().join("tallyport.toml")).expect("readable");
    assert!(shipped.contains(place), "the example has `{place}`");
    let folder = tempfile::tempdir().expect("a temporary directory");
    std::fs::copy(examples().join("policy.cedar"), folder.path().join("policy.cedar"))
        .expect("copied");
    file(folder.path(), "masking.toml", masking);
    let config = file(folder.path(), "tallyport.toml", &shipped.replace(place, written));
    let output = run(&["config", "check", &config]);
    (output.status.code(), said(&output))
}

#[test]
fn an_error_never_repeats_a_secret_of_the_file() {
    let place = "password = { file = \"/etc/tallyport/secrets/sample-password\" }";
    for written in [
        "password = \"hunter2secret\"",
        "password = 'hunter2secret'",
        "password = \"\"\"\nhunter2secret\"\"\"",
        "password = hunter2secret",
        "password = \"hunter2secret",
        "password = [\"hunter2secret\"]",
        "password = { value = \"hunter2secret\", x = 1 }",
        "password = { value = \"hunter2secret\" x }",
        "password = { value = [\"hunter2secret\"] }",
        "password = { hunter2secret = \"x\" }",
        "password = { \"hunter2secret\" = \"x\", b = 1 }",
        "password = { plain = \"hunter2secret\" }",
        "password.hunter2secret = 1",
        "password = { value = \"hunter2secret\" }\npassword = 1",
        "password = { value = \"hunter2secret\" }\nsslmode = 1",
        "passwort = \"hunter2secret\"",
        "[targets.limits]\nmax_row_bytes = \"hunter2secret\"",
        "[[targets.password]]\nvalue = \"hunter2secret\"",
    ] {
        let (code, said) = check_with(place, written, "");
        assert_eq!(code, Some(2), "{written}: {said}");
        assert!(!said.contains("hunter2"), "{written}: {said}");
        assert!(said.contains("tallyport.toml: line 3"), "{written}: {said}");
    }
    let (_, said) = check_with(place, "password = \"hunter2secret\"", "");
    for words in ["line 33, column 12", "password", "`env`, `file`"] {
        assert!(said.contains(words), "it should say `{words}`: {said}");
    }
}

#[test]
fn an_error_never_repeats_a_key_of_the_masking_file() {
    for written in [
        "hash_key = \"hunter2secret\"",
        "hash_key = hunter2secret",
        "hash_key = { hunter2secret = 1 }",
        "hash_key = { value = \"hunter2secret\" }",
        "hash_key = { env = [\"hunter2secret\"] }",
        "hash_key = { env = \"X\", file = \"hunter2secret\" }",
        "stored_order = \"hunter2secret\"",
    ] {
        let (code, said) = check_with("ca = \"/etc/tallyport/tls/db-ca.pem\"", "", written);
        assert_eq!(code, Some(2), "{written}: {said}");
        assert!(!said.contains("hunter2"), "{written}: {said}");
        assert!(said.contains("masking.toml: line 1, column"), "{written}: {said}");
    }
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let policy = examples().join("policy.cedar");
    let folder = tempfile::tempdir().expect("a temporary directory");
    let case = "[[case]]\nname = \"nobody may connect\"\nprincipal = { kind = \"agent\" }\n\
                action = \"sql:connect\"\non = { database = \"sample/sample\" }\nexpect = \"deny\"\n";
    let cases = file(folder.path(), "cases.toml", &case.repeat(50));
    for arguments in [
        vec!["policy", "test", policy.to_str().expect("a name"), "--cases", &cases],
        vec!["policy", "check", policy.to_str().expect("a name")],
        vec!["ask"],
    ] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let output = Command::new(env!("CARGO_BIN_EXE_tallyport"))
            .args(&arguments)
            .stdout(writer)
            .output()
            .expect("the binary runs");
        let said = said(&output);
        assert!(output.status.success() && said.is_empty(), "{arguments:?}: {said}");
    }
}
#[test]
fn configurations_are_checked() {
    let shipped = examples().join("tallyport.toml");
    let text = std::fs::read_to_string(&shipped).expect("readable");
    let folder = tempfile::tempdir().expect("a temporary directory");
    for name in ["policy.cedar", "masking.toml"] {
        std::fs::copy(examples().join(name), folder.path().join(name)).expect("copied");
    }
    exits(&["config", "check", "/nonexistent.toml"], 2, "/nonexistent.toml");
    let unknown_key = file(folder.path(), "a.toml", &text.replace("node =", "nodes ="));
    exits(&["config", "check", &unknown_key], 2, "nodes");
    let bad_log = file(folder.path(), "b.toml", &text.replace("embedded:", "imbedded:"));
    exits(&["config", "check", &bad_log], 2, "log.url");
    let no_audience = file(
        folder.path(),
        "c.toml",
        &text.replace("audiences = [\"tallyport\"]", "audiences = []"),
    );
    exits(&["config", "check", &no_audience], 2, "issuers");
    let two_of_one_log = file(
        folder.path(),
        "t.toml",
        &text.replace("[gateway]\n", "[gateway]\ntakeover_socket = \"front.sock\"\n"),
    );
    exits(&["up", "--config", &two_of_one_log], 2, "gateway.takeover_socket: two processes");
    let (head, _) = text.split_once("[gateway]").expect("the example has roles");
    let no_role = file(folder.path(), "d.toml", head);
    exits(&["config", "check", &no_role], 2, "it names no role");
    exits(&["up", "--config", &no_role], 2, "it names no role");
    exits(&["recorder", "--config", &no_role], 2, "[recorder] is missing");
}

/// Written anew with `UPDATE_GOLDEN=1`, as the golden files are.
/// The pages for people: what cannot work is said before anything starts.
#[test]
fn the_pages_are_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    DevCa::create_or_load(&folder.path().join("tls")).expect("a certificate");
    file(folder.path(), "policy.cedar", "@id(\"all\") permit (principal, action, resource);");
    let check = |console: &str| {
        let text = format!(
            "node = \"n\"\n[log]\nurl = \"embedded:log\"\n[[issuers]]\nissuer = \"https://idp.example\"\naudiences = [\"a\"]\n\
             [policy]\npath = \"policy.cedar\"\n[gateway]\nlisten = \"127.0.0.1:0\"\ncert = \"tls/server.pem\"\n\
             key = \"tls/server.key\"\n[console]\n{console}"
        );
        let output = run(&["config", "check", &file(folder.path(), "t.toml", &text)]);
        (output.status.code(), said(&output))
    };
    let sign_in = |issuer: &str| {
        format!(
            "[[console.sign_in]]\nid = \"sso\"\nname = \"Company\"\nissuer = \"{issuer}\"\nclient_id = \"c\"\n"
        )
    };
    let good = format!("public_url = \"https://g.example\"\n{}", sign_in("https://idp.example"));
    let (code, told) = check(&good);
    assert_eq!(code, Some(0), "{told}");
    let (code, told) = check(&format!("{good}[gateway.mcp]\nhosts = [\"localhost:1\"]\n"));
    assert_eq!(code, Some(0), "{told}");
    let short = good.replacen('\n', "\nkey = { value = \"too-short-a-secret\" }\n", 1);
    let plain = good.replace("https://g.example", "http://g.example");
    let stranger =
        format!("public_url = \"https://g.example\"\n{}", sign_in("https://other.example"));
    for (bad, saying) in [
        (short, "openssl rand"),
        (plain, "console.public_url"),
        (stranger, "none of [[issuers]]"),
        (
            format!("{good}[gateway.mcp]\npublic_url = \"http://g.example\"\n"),
            "gateway.mcp.public_url: write the https origin",
        ),
        ("public_url = \"https://g.example\"\nsign_in = []\n".to_owned(), "console.sign_in"),
    ] {
        let (code, told) = check(&bad);
        assert_eq!(code, Some(2), "{told}");
        assert!(told.contains(saying) && !told.contains("too-short-a-secret"), "{told}");
    }
}

#[test]
fn the_reference_of_keys_is_what_the_types_say() {
    let path = dev_services::repo_root().join("docs/reference/configuration-keys.md");
    let output = run(&["config", "keys", "--format", "markdown"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    let now = format!(
        "# Every key\n\nWritten by `tallyport config keys --format markdown`; what they are for and how they work together \
         is in\n[configuration.md](configuration.md). `NAME[]` is each of `[[NAME]]`, `*` any name.\n\n{}",
        String::from_utf8(output.stdout).unwrap()
    );
    if std::env::var("UPDATE_GOLDEN").is_ok_and(|value| value == "1") {
        std::fs::write(&path, now).unwrap();
        return;
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        there == now,
        "docs/reference/configuration-keys.md is not current: run UPDATE_GOLDEN=1"
    );
    // A key that nobody explained is as good as none.
    let bare: Vec<&str> = now.lines().filter(|line| line.ends_with("|  |")).collect();
    assert!(bare.is_empty(), "without a description: {bare:?}");
}

#[test]
fn keys_are_listed_by_prefix_and_as_a_schema() {
    let listed = said(&run(&["config", "keys", "gateway.limits"]));
    assert!(
        listed.contains("gateway.limits.dial_seconds") && !listed.contains("log.url"),
        "{listed}"
    );
    exits(&["config", "keys", "nothing.so"], 2, "lists all");
    let schema = said(&run(&["config", "keys", "--format", "json-schema"]));
    let schema: serde_json::Value = serde_json::from_str(&schema).unwrap();
    assert_eq!(schema["additionalProperties"], false, "an unknown key is an error");
    assert!(schema["properties"]["telemetry"].is_object());
    let required = schema["required"].to_string();
    assert_eq!(required, "[\"log\"]", "a recorder needs no more at the top");
}

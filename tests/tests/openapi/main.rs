//! The gateway's API is what docs/reference/openapi.yaml says: asked by schemathesis, as an agent, as one who may get in with a
//! grant, and as a reviewer who ends access as well.
#![allow(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::process::Command;

use dev_services::repo_root;
use serde_json::Value;
use tallyport_tests::{Stack, said, say_not_run, start_or_say};

const TEST: &str = "the_api_is_what_its_description_says";
/// Random requests of each operation; the others follow from the description.
const EXAMPLES: &str = "10";

#[test]
fn the_api_is_what_its_description_says() {
    // The stack has its own PostgreSQL; this one only says whether there can be one.
    let Some(_postgres) = start_or_say(TEST, "postgres", &[]) else { return };
    let stack = Stack::start(&[]);
    for client in ["on-call-agent", "support-agent", "approver"] {
        let token = tempfile::NamedTempFile::new().expect("a file for the token");
        std::fs::write(token.path(), token_of(&stack, client)).expect("it is written");
        let text = |at: &str| stack.ready().pointer(at).and_then(Value::as_str).unwrap_or_default();
        let asked = Command::new(repo_root().join("deploy/dev/schemathesis"))
            .args([text("/gateway/https"), text("/ca")])
            .arg(token.path())
            .arg(EXAMPLES)
            .output()
            .expect("the script runs");
        if asked.status.code() == Some(75) {
            say_not_run(TEST, &said(&asked));
            return;
        }
        assert!(asked.status.success(), "as {client}: {}", said(&asked));
    }
}

/// A token of a client of the development issuer.
fn token_of(stack: &Stack, client: &str) -> String {
    let text = |at: &str| stack.ready().pointer(at).and_then(Value::as_str).unwrap_or_default();
    let clients = stack.ready().pointer("/issuer/clients").and_then(Value::as_array);
    let found =
        clients.and_then(|all| all.iter().find(|it| it.get("id").is_some_and(|id| id == client)));
    let secret = found.and_then(|it| it.get("secret")).and_then(Value::as_str).unwrap_or_default();
    let user = format!("{client}:{secret}");
    let answer = Command::new("curl")
        .args(["-s", "-u", &user, "-d", "grant_type=client_credentials", text("/issuer/token_url")])
        .output()
        .expect("curl runs");
    let answer: Value = serde_json::from_slice(&answer.stdout).unwrap_or_default();
    answer.get("access_token").and_then(Value::as_str).expect("a token").to_owned()
}

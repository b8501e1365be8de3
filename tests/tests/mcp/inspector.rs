//! MCP Inspector's command line.

use std::process::{Command, Output};

use dev_services::repo_root;
use tallyport_tests::{Stack, said, say_not_run};

use super::agent::place;

pub fn lists_and_calls(stack: &Stack, era: &str) {
    let (url, ca, token) = place(stack, "ops-agent");
    let header = format!("Authorization: Bearer {token}");
    let inspect = |arguments: &[&str]| -> Output {
        Command::new(repo_root().join("deploy/dev/mcp-client"))
            .args([
                "inspector",
                &ca,
                &url,
                "--transport",
                "http",
                "--header",
                &header,
                "--protocol-era",
                era,
            ])
            .args(arguments)
            .output()
            .unwrap()
    };
    let listed = inspect(&["--method", "tools/list"]);
    if listed.status.code() == Some(75) {
        return say_not_run("MCP Inspector", &said(&listed));
    }
    assert!(said(&listed).contains("describe_table"), "{}", said(&listed));
    let called = ["--method", "tools/call", "--tool-name", "query", "--tool-arg"];
    let called = inspect(&[&called[..], &["sql=select 40 + 2 as answer"]].concat());
    assert!(called.status.success() && said(&called).contains("42"), "{}", said(&called));
}

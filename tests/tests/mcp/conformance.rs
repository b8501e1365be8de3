//! The protocol's own conformance suite, both revisions: at the built-in server, and through the gateway at a reference server.

use std::path::PathBuf;
use std::process::Command;

use dev_services::repo_root;
use tallyport_tests::{AGENT, Role, Site, binary, free_port, said, say_not_run, start_or_say};

const POLICY: &str = r#"
@id("servers") permit (principal, action in Tallyport::Action::"mcp:any", resource);
"#;

#[test]
fn the_built_in_server_passes_the_conformance_suite() {
    let test = "the_built_in_server_passes_the_conformance_suite";
    run(test, "", "/mcp", "", |revision, said| {
        assert!(said.contains("server-stateless") || revision != "2026-07-28", "{said}");
    });
}

/// Every scenario that either revision requires passes through the gateway, onto the reference server: but for none.
#[test]
fn a_server_behind_the_gateway_passes_the_conformance_suite() {
    let test = "a_server_behind_the_gateway_passes_the_conformance_suite";
    let Some(reference) = start_or_say(test, "mcp-reference", &[]) else { return };
    let url = reference.text("url");
    let server = format!("[[gateway.mcp.servers]]\nname = \"reference\"\nurl = \"{url}\"\n");
    run(test, &server, "/mcp/reference", "behind-", |_, said| {
        assert!(said.contains("tools-call-simple-text"), "{said}");
    });
}

/// The gateway is a client of the servers behind it: the suite's own servers find nothing wrong with what it sends them, the tokens
/// included that it gets by itself, with a secret and with a key of its own.
#[test]
fn the_gateway_passes_the_conformance_suite_as_a_client() {
    let test = "the_gateway_passes_the_conformance_suite_as_a_client";
    let Some(site) = Site::start(test) else { return };
    let port = free_port();
    let config = configured(&site, port, "# SERVERS\n");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let token = runtime.block_on(site.token_of(AGENT));
    let both = ["tools_call", "auth/client-credentials-basic", "auth/client-credentials-jwt"];
    let legacy = ["initialize", "elicitation-sep1034-client-defaults", "sse-retry"];
    let modern = [
        "request-metadata",
        "sep-2322-client-request-state",
        "http-standard-headers",
        "http-custom-headers",
        "http-invalid-tool-headers",
        "json-schema-ref-no-deref",
        "json-schema-2020-12-preservation",
    ];
    for (revision, scenarios) in [("2025-11-25", &legacy[..]), ("2026-07-28", &modern[..])] {
        let expected = format!("tests/clients/mcp_conformance/client-{revision}.yml");
        let ran = Command::new(repo_root().join("deploy/dev/mcp-conformance-client"))
            .arg(binary())
            .arg(&config)
            .arg(site.gateway_port().to_string())
            .arg(site.path("tls/ca.pem"))
            .args([&port.to_string(), revision])
            .arg(repo_root().join(expected))
            .args(both)
            .args(scenarios)
            .env("TOKEN", &token)
            .output()
            .unwrap();
        if ran.status.code() == Some(75) {
            return say_not_run(test, &said(&ran));
        }
        let said = said(&ran);
        assert!(ran.status.success(), "{revision}: {said}");
        assert_eq!(said.matches("passed: ").count(), both.len() + scenarios.len(), "{said}");
    }
}

/// A gateway's configuration, with these servers; the suite comes by `port`.
fn configured(site: &Site, port: u16, servers: &str) -> PathBuf {
    let log = format!("embedded:{}", site.path("log").display());
    let policy = std::fs::read_to_string(site.path("policy.cedar")).unwrap();
    std::fs::write(site.path("policy.cedar"), format!("{policy}{POLICY}")).unwrap();
    let config = site.config("mcp.toml", &log, "", &["gateway"]);
    let text = std::fs::read_to_string(&config).unwrap();
    let mcp = format!(
        "[gateway.mcp]\nhosts = [\"localhost:{port}\"]\norigins = [\"http://localhost:{port}\"]\n{servers}[[targets]]"
    );
    std::fs::write(&config, text.replacen("[[targets]]", &mcp, 1)).unwrap();
    config
}

fn run(test: &str, servers: &str, path: &str, expected: &str, check: impl Fn(&str, &str)) {
    let Some(site) = Site::start(test) else { return };
    let port = free_port();
    let config = configured(&site, port, servers);
    let _gateway = Role::start("gateway", &config);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let token = runtime.block_on(site.token_of(AGENT));
    let ca = site.path("tls/ca.pem");
    for revision in ["2025-11-25", "2026-07-28"] {
        let expected = format!("tests/clients/mcp_conformance/{expected}{revision}.yml");
        let ran = Command::new(repo_root().join("deploy/dev/mcp-conformance"))
            .args([
                &site.gateway_port().to_string(),
                ca.to_str().unwrap(),
                &port.to_string(),
                revision,
            ])
            .arg(repo_root().join(expected))
            .arg(path)
            .env("TOKEN", &token)
            .output()
            .unwrap();
        if ran.status.code() == Some(75) {
            return say_not_run(test, &said(&ran));
        }
        assert!(ran.status.success(), "{revision}: {}", said(&ran));
        check(revision, &said(&ran));
    }
}

//! The protocol's own conformance suite at the built-in server, both revisions.

use std::process::Command;

use dev_services::repo_root;
use tallyport_tests::{AGENT, Role, Site, free_port, said, say_not_run};

const TEST: &str = "the_built_in_server_passes_the_conformance_suite";

#[test]
fn the_built_in_server_passes_the_conformance_suite() {
    let Some(site) = Site::start(TEST) else { return };
    let port = free_port();
    let log = format!("embedded:{}", site.path("log").display());
    let config = site.config("mcp.toml", &log, "", &["gateway"]);
    let text = std::fs::read_to_string(&config).unwrap();
    let mcp = format!(
        "[gateway.mcp]\nhosts = [\"localhost:{port}\"]\norigins = [\"http://localhost:{port}\"]\n[[targets]]"
    );
    std::fs::write(&config, text.replacen("[[targets]]", &mcp, 1)).unwrap();
    let _gateway = Role::start("gateway", &config);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let token = runtime.block_on(site.token_of(AGENT));
    let ca = site.path("tls/ca.pem");
    for revision in ["2025-11-25", "2026-07-28"] {
        let expected = repo_root().join(format!("tests/clients/mcp_conformance/{revision}.yml"));
        let ran = Command::new(repo_root().join("deploy/dev/mcp-conformance"))
            .args([
                &site.gateway_port().to_string(),
                ca.to_str().unwrap(),
                &port.to_string(),
                revision,
            ])
            .arg(expected)
            .env("TOKEN", &token)
            .output()
            .unwrap();
        if ran.status.code() == Some(75) {
            return say_not_run(TEST, &said(&ran));
        }
        assert!(ran.status.success(), "{revision}: {}", said(&ran));
        assert!(said(&ran).contains("server-stateless") || revision != "2026-07-28");
    }
}

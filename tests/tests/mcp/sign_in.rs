//! A client that has no token: it finds the issuer by what the gateway says, has a person sign in there, and asks for more once it is told
//! that it needs more. The library, the provider and its pages are real; the person is a few lines of Python that fill in its forms.

use std::process::Command;

use dev_services::repo_root;
use serde_json::json;
use tallyport_tests::{Role, Site, eventually};

use crate::agent::Agent;

#[test]
fn a_client_without_a_token_finds_the_issuer_signs_in_and_steps_up() {
    let test = "a_client_without_a_token_finds_the_issuer_signs_in_and_steps_up";
    let Some(site) = Site::start(test) else { return };
    let resource = format!("https://localhost:{}/mcp", site.gateway_port());
    let log = format!("embedded:{}", site.path("log").display());
    let lake = format!("[lake]\nurl = \"file://{}\"\n", site.path("lake").display());
    let config = site.config("mcp.toml", &log, &lake, &["gateway", "recorder", "query"]);
    let text = std::fs::read_to_string(&config).unwrap();
    // Its tokens are for this very resource.
    let text = text.replacen("audiences = [", &format!("audiences = [\"{resource}\", "), 1);
    let mcp =
        "[gateway.mcp.scopes]\nconnect = \"tallyport\"\nwrite = \"tallyport:write\"\n[[targets]]";
    std::fs::write(&config, text.replacen("[[targets]]", mcp, 1)).unwrap();
    let _all = Role::start("up", &config);
    let mut client = Command::new(repo_root().join("deploy/dev/mcp-client"));
    client.args(["auto", &resource]).arg(site.path("tls/ca.pem")).env("SIGN_IN", "operator");
    let Some(mut agent) = Agent::run(test, &mut client) else { return };
    // What renews a token it asks for by itself.
    assert_eq!(agent.signed_in, [json!("tallyport offline_access")]);
    assert_eq!(agent.revision, "2026-07-28");
    let me = agent.good("whoami", json!({}));
    assert!(me.to_string().contains("Operator"), "{me}");
    // Changing data needs a scope more: the library asks the person again, and goes on.
    let delete = json!({ "sql": "DELETE FROM app.orders WHERE id = 3" });
    let step = agent.call("execute", delete);
    let scopes = step["signs_in"].as_str().unwrap_or_else(|| panic!("{step}"));
    assert!(scopes.contains("tallyport:write"), "{step}");
    let told = agent.hear();
    assert!(told.to_string().contains("waits_for_approval"), "{told}");
    let question = "SELECT policy_ids, principal_name FROM decisions WHERE effect = 'deny'";
    let mut rows = Vec::new();
    assert!(eventually(|| {
        rows = site.sql(question);
        !rows.is_empty()
    }));
    // That a scope was missing is on record, too.
    let missed = &rows[0];
    assert!(missed["policy_ids"].to_string().contains("tallyport:scope"), "{rows:?}");
    assert_eq!(missed["principal_name"], "Operator", "{rows:?}");
}

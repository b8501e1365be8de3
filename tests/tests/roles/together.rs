//! `tallyport up`: all roles of a file in one process, on the embedded log and a lake of files; or some of them.

use std::process::Command;

use tallyport_tests::{Role, Site, binary, said};

use crate::sessions;

#[test]
fn up_serves_the_roles_of_the_file() {
    let test = "up_serves_the_roles_of_the_file";
    let Some(site) = Site::start(test) else { return };
    let log = format!("embedded:{}", site.path("log").display());
    let lake = format!("[lake]\nurl = \"file://{}\"\n", site.path("lake").display());
    let all = site.config("all.toml", &log, &lake, &["gateway", "recorder", "query"]);
    checks(&all);
    let up = Role::start("up", &all);
    let forward = site.connect();
    sessions::happen_and_are_told(&site, forward.port());
    drop(forward);
    up.stop();
    assert!(site.path("lake").join("events/_delta_log").is_dir(), "the recorder wrote to the lake");

    let query = site.config("query.toml", &log, &lake, &["query"]);
    checks(&query);
    let up = Role::start("up", &query);
    assert!(up.log().contains("nothing reaches the lake"), "{}", up.log());
    let told = site.sql("SELECT state FROM sessions WHERE target = 'sample' AND refused = 1");
    assert_eq!(told.len(), 1, "what was recorded is answered: {told:?}");
    assert!(!site.gateway_listens(), "the file has no [gateway]");
    up.stop();

    let gateway = site.config("gateway.toml", &log, "", &["gateway"]);
    checks(&gateway);
    let up = Role::start("up", &gateway);
    assert!(site.gateway_listens());
    let unanswered = site.ask(&["sql", "SELECT 1"]);
    assert_eq!(unanswered.status.code(), Some(1), "{}", said(&unanswered));
    up.stop();
}

/// `tallyport config check` finds the file in order.
pub fn checks(config: &std::path::Path) {
    let checked = Command::new(binary())
        .args(["config", "check"])
        .arg(config)
        .output()
        .expect("the binary runs; build it with make build");
    assert!(checked.status.success(), "{}", said(&checked));
}

//! BI tools on the audit: Metabase and DBeaver speak through the JDBC driver, so its own metadata queries are asked, theirs as their
//! sources have them, and the panels of both and of Grafana. The tools themselves are in no package registry.

use std::collections::BTreeMap;
use std::process::Command;

use dev_services::repo_root;
use serde_json::Value;
use tallyport_tests::{eventually, psql, said, say_not_run};

use crate::world;

/// A token of this client of the development issuer.
fn token(ready: &Value, client: &str) -> String {
    let clients = ready["issuer"]["clients"].as_array().unwrap();
    let secret = &clients.iter().find(|it| it["id"] == client).unwrap()["secret"];
    let form = format!(
        "grant_type=client_credentials&client_id={client}&client_secret={}",
        secret.as_str().unwrap()
    );
    let url = ready["issuer"]["token_url"].as_str().unwrap();
    let answer = Command::new("curl").args(["-s", "--noproxy", "*", "-d", &form, url]).output();
    let answer: Value = serde_json::from_slice(&answer.unwrap().stdout).unwrap();
    answer["access_token"].as_str().unwrap().to_owned()
}

#[test]
fn jdbc_finds_its_way_in_the_audit() {
    let Some(world) = world() else { return };
    let agent = psql(world.forward.port(), "anyone", "postgres").args(["-c", "SELECT 1"]).output();
    assert!(agent.unwrap().status.success());
    let recorded = "SELECT count(*) AS n FROM decisions WHERE effect = 'allow'";
    assert!(eventually(|| world.stack.sql("auditor", recorded)[0]["n"].as_i64() > Some(0)));
    let ready = world.stack.ready();
    let (host, port) = ready["query"]["pg"].as_str().unwrap().rsplit_once(':').unwrap();
    let client = Command::new(repo_root().join("deploy/dev/client"))
        .args(["bi", host, port])
        .env("TALLYPORT_TOKEN", token(ready, "auditor"))
        .output()
        .expect("deploy/dev/client runs");
    if client.status.code() == Some(75) {
        return say_not_run("bi", &said(&client));
    }
    assert!(client.status.success(), "{}", said(&client));
    let told = String::from_utf8_lossy(&client.stdout);
    let failed: Vec<&str> = told.lines().filter(|line| line.contains(": FAILED ")).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
    let steps: BTreeMap<&str, &str> =
        told.lines().filter_map(|line| line.split_once(": ")).collect();
    assert!(steps["product"].starts_with("PostgreSQL 16."), "{}", steps["product"]);
    assert_eq!(steps["catalogs"], "1 rows tallyport | ");
    assert_eq!(steps["schemas"], "3 rows information_schema | pg_catalog | public | ");
    let tables = steps["tables"];
    assert!(tables.contains("public events TABLE") && tables.contains("public decisions VIEW"));
    let columns = steps["columns"];
    for column in ["time timestamptz 93", "effect text 12", "actions _text 2003"] {
        assert!(columns.contains(column), "{column}: {columns}");
    }
    for none in ["primary keys", "imported keys", "exported keys", "indexes"] {
        assert_eq!(steps[none], "0 rows ", "{none}");
    }
    assert_eq!(steps["max rows"], "3");
    assert_eq!(steps["cursor"], "7");
    for one in ["panel", "quoted", "metabase bucket", "parameters"] {
        assert!(!steps[one].starts_with("0 rows"), "{one}: {}", steps[one]);
    }
    assert!(
        told.contains("data_type=timestamp with time zone"),
        "as Grafana finds its time: {told}"
    );
}

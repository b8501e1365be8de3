//! Readiness of all roles while the object store or the brokers hang (stopped processes, so that nothing is refused and
//! nothing is lost): what depends on them is not ready, what does not is, and all of it comes back by itself.

use dev_services::DevService;
use serde_json::Value;
use tallyport_tests::{Role, Site, eventually, free_port, keys_of, lake_on, signal, start_or_say};

use crate::scrape::readyz;

const TEST: &str = "readiness_goes_and_comes_with_store_and_brokers";

/// Waits until exactly these checks fail, out of all of them.
fn fail(role: &Role, telemetry: &str, failing: &[&str]) {
    let mut last = Value::Null;
    let came = eventually(|| {
        let (ready, report) = readyz(telemetry);
        last = report["checks"].clone();
        let checks = last.as_object().unwrap();
        let is_right = |(name, check): (&String, &Value)| {
            check["ok"] == Value::Bool(!failing.contains(&name.as_str()))
        };
        ready == failing.is_empty() && checks.len() == 6 && checks.iter().all(is_right)
    });
    assert!(came, "{failing:?} should fail, and nothing else: {last:#}: {}", role.log());
}

fn pid(service: &DevService) -> u64 {
    service.ready()["pid"].as_u64().unwrap()
}

#[test]
fn readiness_goes_and_comes_with_store_and_brokers() {
    let Some(site) = Site::start(TEST) else { return };
    let Some(kafka) = start_or_say(TEST, "kafka", &[]) else { return };
    let Some(store) = start_or_say(TEST, "s3", &[]) else { return };
    let telemetry = format!("127.0.0.1:{}", free_port());
    let lake = lake_on(&store, "ready", keys_of(&store))
        + &format!("[telemetry]\nlisten = \"{telemetry}\"\nprobe_seconds = 1\n");
    let log = format!("kafka://{}?partitions=1", kafka.text("bootstrap"));
    let config = site.config("ready.toml", &log, &lake, &["gateway", "recorder", "query"]);
    let up = Role::start("up", &config);
    fail(&up, &telemetry, &[]);

    signal("-STOP", pid(&store));
    fail(&up, &telemetry, &["lake", "recorder", "query"]);
    signal("-CONT", pid(&store));
    fail(&up, &telemetry, &[]);

    signal("-STOP", pid(&kafka));
    fail(&up, &telemetry, &["log", "control", "recorder", "query"]);
    signal("-CONT", pid(&kafka));
    fail(&up, &telemetry, &[]);
    let _log = up.end();
}

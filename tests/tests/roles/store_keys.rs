//! Keys of the object store that a program gives (`credential_process` of the AWS configuration): asked for anew when they end,
//! without a restart. The store takes the same keys all the time; that a program which gives none any more is noticed, and that
//! nothing is lost by it, is what shows that they are really asked for.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use dev_services::DevService;
use tallyport_tests::{Role, Site, eventually, lake_on, said, start_or_say};

use crate::sessions;

/// A program that says that it was asked and gives keys for three seconds, as long as `there` is.
fn program(site: &Site, s3: &DevService) -> String {
    let (asked, there) = (site.path("asked"), site.path("there"));
    fs::write(&there, "").unwrap();
    let text = format!(
        "#!/bin/sh\necho asked >> {asked}\n[ -e {there} ] || exit 1\n\
         printf '{{\"Version\":1,\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"%s\",\"Expiration\":\"%s\"}}' \\\n\
         '{key}' '{secret}' \"$(date -u -d '+3 seconds' +%Y-%m-%dT%H:%M:%SZ)\"\n",
        asked = asked.display(),
        there = there.display(),
        key = s3.text("access_key"),
        secret = s3.text("secret_key"),
    );
    let file = site.path("keys.sh");
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let config = site.path("aws-config");
    let text = format!("[default]\ncredential_process = {}\n", file.display());
    fs::write(&config, text).unwrap();
    config.display().to_string()
}

#[test]
fn keys_of_the_store_come_from_a_program_and_are_asked_for_anew() {
    let test = "keys_of_the_store_come_from_a_program_and_are_asked_for_anew";
    let Some(site) = Site::start(test) else { return };
    let Some(s3) = start_or_say(test, "s3", &[]) else { return };
    let log = format!("embedded:{}", site.path("log").display());
    let lake = lake_on(&s3, "keys", None) + "AWS_FORCE_CREDENTIAL_LOAD = \"true\"\n";
    let config = site.config("all.toml", &log, &lake, &["gateway", "recorder", "query"]);
    let from = format!("AWS_CONFIG_FILE={}", program(&site, &s3));
    let more = ["--env", &from, "--env", "AWS_EC2_METADATA_DISABLED=true"];
    let up = Role::start_with("up", &config, &more);
    let asked = || fs::read_to_string(site.path("asked")).unwrap_or_default().lines().count();
    let forward = site.connect();
    sessions::happen_and_are_told(&site, forward.port());
    let first = asked();
    assert!(first > 0, "nobody asked for keys");
    assert!(eventually(|| asked() > first + 2), "they are asked for anew: {}", up.log());
    // The program gives none: the lake is out, and that is no end of anything.
    fs::remove_file(site.path("there")).unwrap();
    assert!(eventually(|| up.log().contains("could not be loaded")), "{}", up.log());
    fs::write(site.path("there"), "").unwrap();
    let ask = || site.ask(&["sql", "SELECT count(*) FROM sessions"]);
    assert!(eventually(|| ask().status.success()), "it goes on: {}", said(&ask()));
    drop(forward);
    let _log = up.end();
}

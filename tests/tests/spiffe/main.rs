//! Workloads of a real SPIFFE trust domain, signed for by SPIRE: psql through a tunnel that an X.509-SVID opens, tokens
//! (JWT-SVID) at the gateway and at the query service, and a domain that changes its authorities while everything runs.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use dev_services::DevService;
use tallyport_tests::{Forward, Role, Site, eventually, psql, said, start_or_say};

const TEST: &str = "workloads_come_by_their_svids";
const SUPPORT: &str = "spiffe://prod.example.com/ns/agents/sa/support";
const AUDITOR: &str = "spiffe://prod.example.com/ns/audit/sa/siem";
const STRANGER: &str = "spiffe://prod.example.com/ns/web/sa/shop";

struct Spire(DevService);

impl Spire {
    fn run(&self, words: &[&str], more: &[&str]) -> Output {
        let done = Command::new(self.0.text("server"))
            .args(words)
            .args(["-socketPath", self.0.text("socket")])
            .args(more)
            .output()
            .expect("the server runs");
        assert!(done.status.success(), "{words:?}: {}", said(&done));
        done
    }

    /// The options by which a workload shows its certificate.
    fn certificate(&self, site: &Site, id: &str) -> [String; 4] {
        let folder = site.path(&id.replace(['/', ':'], "_"));
        std::fs::create_dir_all(&folder).unwrap();
        let place = folder.to_str().unwrap();
        self.run(&["x509", "mint"], &["-spiffeID", id, "-ttl", "10m", "-write", place]);
        let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
        ["--client-cert".to_owned(), file("svid.pem"), "--client-key".to_owned(), file("key.pem")]
    }

    fn token(&self, site: &Site, id: &str, audience: &str) -> PathBuf {
        let file = site.path("jwt-svid");
        let place = file.to_str().unwrap();
        self.run(&["jwt", "mint"], &["-spiffeID", id, "-audience", audience, "-write", place]);
        file
    }

    /// As whoever runs the domain would, by a timer.
    fn publish(&self, bundle: &Path) {
        let shown = self.run(&["bundle", "show"], &["-format", "spiffe"]);
        std::fs::write(bundle, shown.stdout).unwrap();
    }

    /// The id of the authority that a line of `localauthority x509 show` begins.
    fn authority(&self, which: &str) -> String {
        let shown = self.run(&["localauthority", "x509", "show"], &[]);
        let text = String::from_utf8(shown.stdout).unwrap();
        let rest = text.split_once(which).unwrap_or_else(|| panic!("{text}")).1;
        let id = rest.split_once("Authority ID: ").unwrap_or_else(|| panic!("{text}")).1;
        id.lines().next().unwrap().trim().to_owned()
    }
}

fn ask(forward: &Forward, sql: &str) -> Output {
    psql(forward.port(), "whoever", "postgres")
        .args(["-At", "-c", sql])
        .output()
        .expect("psql runs")
}

fn count(forward: &Forward) -> String {
    said(&ask(forward, "SELECT count(*) FROM app.customers"))
}

#[test]
fn workloads_come_by_their_svids() {
    let Some(spire) = start_or_say(TEST, "spire", &[]).map(Spire) else { return };
    let Some(site) = Site::start(TEST) else { return };
    let bundle = site.path("bundle.json");
    spire.publish(&bundle);
    let log = format!("embedded:{}", site.path("log").display());
    let lake = format!("[lake]\nurl = \"file://{}\"\n", site.path("lake").display());
    let sections = ["gateway", "recorder", "query", "trust_domain"];
    let up = Role::start("up", &site.config("spiffe.toml", &log, &lake, &sections));

    // A certificate, without any token.
    let forward = site.connect_as(&spire.certificate(&site, SUPPORT));
    let customers = count(&forward);
    assert!(customers.trim().parse::<u64>().is_ok_and(|count| count > 0), "{customers}");
    let masked = said(&ask(&forward, "SELECT email FROM app.customers LIMIT 1"));
    assert!(
        !masked.contains('@') || masked.contains('*'),
        "policy and masking are those of its group: {masked}"
    );
    let refused = count(&site.connect_as(&spire.certificate(&site, STRANGER)));
    assert!(refused.contains("no rule of the trust domain"), "{refused}");

    // A token of the same domain, at both services.
    let audience = site.audience();
    let token = |id: &str, audience: &str| {
        let file = spire.token(&site, id, audience);
        ["--token-file".to_owned(), file.to_str().unwrap().to_owned()]
    };
    assert_eq!(count(&site.connect_as(&token(SUPPORT, &audience))), customers);
    let elsewhere = count(&site.connect_as(&token(SUPPORT, "somebody-else")));
    assert!(elsewhere.contains("another audience"), "{elsewhere}");
    let told = "SELECT count(*) AS n FROM authentications";
    let asked = site.ask_as(&["sql", told, "--json"], &token(AUDITOR, &audience));
    assert!(asked.status.success(), "{}", said(&asked));
    let asked = site.ask_as(&["sql", told, "--json"], &token(SUPPORT, &audience));
    assert!(!asked.status.success(), "the agent is no auditor");

    authorities_change(&spire, &site, &bundle);

    let methods = "SELECT DISTINCT method, outcome, failure, principal_subject FROM authentications \
                   WHERE method LIKE '%svid'";
    let methods = format!("{:?}", site.sql(methods));
    for said in ["x509_svid", "jwt_svid", SUPPORT, AUDITOR, "unknown_workload", "wrong_audience"] {
        assert!(methods.contains(said), "{said}: {methods}");
    }
    drop(forward);
    up.stop();
}

/// A new authority signs; the file is written anew, nothing is restarted. The old one is revoked, and counts no more.
fn authorities_change(spire: &Spire, site: &Site, bundle: &Path) {
    let old = spire.certificate(site, SUPPORT);
    let old_id = spire.authority("Active X.509 authority");
    spire.run(&["localauthority", "x509", "prepare"], &[]);
    let new_id = spire.authority("Prepared X.509 authority");
    spire.run(&["localauthority", "x509", "activate"], &["-authorityID", &new_id]);
    let kept = site.path("old");
    std::fs::create_dir_all(&kept).unwrap();
    let kept = |from: &str, name: &str| {
        let to = kept.join(name);
        std::fs::copy(from, &to).unwrap();
        to.to_str().unwrap().to_owned()
    };
    let old = [old[0].clone(), kept(&old[1], "svid.pem"), old[2].clone(), kept(&old[3], "key.pem")];
    // The same files anew, of the new authority.
    let new = spire.certificate(site, SUPPORT);
    let is_in =
        |arguments: &[String]| count(&site.connect_as(arguments)).trim().parse::<u64>().is_ok();
    assert!(is_in(&old) && !is_in(&new), "the bundle has the old authority alone");
    spire.publish(bundle);
    assert!(eventually(|| is_in(&new)), "the new authority is taken");
    assert!(is_in(&old), "and the old one for a while");
    spire.run(&["localauthority", "x509", "taint"], &["-authorityID", &old_id]);
    spire.run(&["localauthority", "x509", "revoke"], &["-authorityID", &old_id]);
    spire.publish(bundle);
    assert!(eventually(|| !is_in(&old)), "the old authority counts no more");
    assert!(is_in(&new));
}

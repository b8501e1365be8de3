//! The parts of the configuration file that have checks of their own, and what is said of a file that is none.

use std::path::Path;

use serde::Deserialize;
use tallyport_access::IssuerConfig;
use tallyport_access::fuzz::Trust;
use tallyport_gateway::config::{Address, AnyTarget, RawAnyTarget, RawGatewayLimits};

use super::token::published;

// The binary has no library: the one file of it that reads a foreign text by places in it is read here as it stands.
#[path = "../../../../cli/src/config/problem.rs"]
mod problem;

/// Keys and values.
pub const WORDS: &[&[u8]] = &[
    b"[[issuers]]\n",
    b"[[targets]]\n",
    b"[limits]\n",
    b"issuer = \"https://",
    b"audiences = []\n",
    b"algorithms = [\"none\"]\n",
    b"profile = \"github-actions\"\n",
    b"[issuers.claims]\nsubject = \"",
    b"clock_skew_seconds = ",
    b"name = \"",
    b"address = \"",
    b"sslmode = \"disable\"\n",
    b"recording = \"head:3\"\n",
    b"password = { value = \"hunter2hunter2\" }\n",
    b"\"\"\"",
    b"'''",
    b"\xc3\xa9",
    b"1979-05-27T07:32:00Z",
    b"{",
    b"[[",
    b"= ",
    b"catalog_refresh_seconds = ",
    b"[targets.limits]\n",
    b"max_row_bytes = ",
    b":5432",
    b"/run/postgresql",
    b"[::1]",
];

/// As the file has it, without the sections that the binary alone reads.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    issuers: Vec<IssuerConfig>,
    #[serde(default)]
    targets: Vec<RawAnyTarget>,
    #[serde(default)]
    limits: RawGatewayLimits,
}

/// A configuration with everything in it, and its parts.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "[[issuers]]\nissuer = \"https://login.example.com/realms/agents\"\naudiences = [\"tallyport\"]\n\
         algorithms = [\"RS256\"]\ngroup_prefix = \"x:\"\n[issuers.required_claims]\ntenant = [\"a\", 1]\n",
        "[[targets]]\nname = \"sample\"\nkind = \"postgresql\"\naddress = \"db.example.com:5432\"\ndatabase = \"sample\"\n\
         databases = [\"other\"]\nuser = \"tallyport\"\npassword = { file = \"/p\" }\nsslmode = \"verify-full\"\n\
         recording = \"head:10\"\ncatalog_refresh_seconds = 15\n[targets.limits]\nmax_message_bytes = 1048576\n",
        "[[targets]]\nname = \"s\"\naddress = \"/run/postgresql:5433\"\ndatabase = \"d\"\nuser = \"u\"\n\
         password = { value = \"hunter2hunter2\" }\nsslmode = \"disable\"\n",
        "[limits]\nmax_sessions = 10\nstartup_seconds = 30\ndial_seconds = 10\n",
        "[[targets]]\nkind = \"http\"\nname = \"crm\"\nurl = \"https://crm.example.com/api\"\ntoken = { value = \"hunter2hunter2\" }\n\
         detectors = { secrets = \"deny\" }\n[[targets.routes]]\nname = \"a\"\nmethod = \"GET\"\npath = \"/a/{id}\"\n\
         masks = [{ at = [\"/card\"], mask = \"partial:last4\" }]\n",
        "[[targets]]\nkind = \"kubernetes\"\nname = \"prod\"\nurl = \"https://k8s.example.com:6443\"\ntoken = { file = \"/t\" }\n\
         secrets = \"mask\"\nmasks = [{ resource = \"configmaps\", at = [\"/data/a\"], mask = \"redact\" }]\n",
        "[[targets]]\nname = 7\npassword = \"hunter2hunter2\"\n",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// What is taken is within its bounds; what is not is said in few words, at a place of the text.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let file: File = match toml::from_str(text) {
        Ok(file) => file,
        Err(error) => return check_problem(text, &problem::describe(text, &error)),
    };
    for issuer in &file.issuers {
        let _trust = Trust::new(issuer, published().as_bytes());
    }
    if let Ok(limits) = file.limits.check() {
        assert!(limits.max_sessions > 0);
        assert!((1..=3600).contains(&limits.startup_timeout.as_secs()));
        assert!((1..=3600).contains(&limits.dial_timeout.as_secs()));
    }
    for target in file.targets {
        let Ok(target) = target.check(Path::new("/etc/tallyport")) else { continue };
        let name = target.name().to_owned();
        assert!((1..=63).contains(&name.len()));
        assert!(tallyport_gateway::fuzz::target_name(&name).is_some(), "it can be named");
        let AnyTarget::Postgres(target) = target else { continue };
        match target.address {
            Address::Tcp { host, port } => assert!(!host.is_empty() && port > 0),
            Address::Unix(folder) => assert!(folder.is_absolute()),
        }
        assert!(!target.databases.default.is_empty() && !target.user.is_empty());
        assert!(!target.catalog_refresh.is_zero());
    }
}

/// The library's own words quote the line; ours name place, key and problem.
fn check_problem(text: &str, said: &str) {
    let place = said.strip_prefix("line ").and_then(|rest| rest.split_once(", column "));
    if let Some((line, _)) = place {
        let line: usize = line.parse().expect("a number");
        assert!((1..=text.matches('\n').count() + 1).contains(&line), "{said}");
    }
    let secret = "hunter2hunter2";
    let as_value = text.contains(&format!("= \"{secret}\""))
        && text.matches(secret).count() == 1
        && !is_a_name(text, secret);
    assert!(!as_value || !said.contains(secret), "a value is repeated: {said}");
}

/// A target is told by its name, which is no secret.
fn is_a_name(text: &str, word: &str) -> bool {
    let file: toml::Table = toml::from_str(text).unwrap_or_default();
    let targets =
        file.get("targets").and_then(toml::Value::as_array).map_or(&[][..], Vec::as_slice);
    targets.iter().any(|it| it.get("name").and_then(toml::Value::as_str) == Some(word))
}

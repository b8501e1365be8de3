//! Workloads of a SPIFFE trust domain: certificates as anybody may send them (`L`), and ones of which the domain's authority
//! signed whatever they say (`E`); tokens as they are (`R`), and ones that the domain signed (`J`), or somebody else (`K`); bundles
//! (`B`); ids (`I`).

mod certificate;
mod jwt;

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};
use tallyport_access::fuzz::{TrustDomain, workload_id};
use tallyport_access::{Identity, TrustDomainConfig};
use tallyport_schemas::PrincipalKind;

use certificate::{Certificate, Said};

/// Ids, claims, and parts of certificates.
pub const WORDS: &[&[u8]] = &[
    b"spiffe://prod.example.com/ns/agents/sa/billing",
    b"spiffe://prod.example.com",
    b"/ns/agents/",
    b"/ns/ops/sa/backup",
    b"/../",
    b"%2f",
    b"\0\x86",
    b"\0\x82\x01a",
    b"\x01\x02\x07\x80",
    b"\x01\x02\x02\x84",
    b"\x02\x11",
    b"\x02\x13",
    b"\x02\x25",
    b"\"use\":\"x509-svid\"",
    b"\"use\":\"jwt-svid\"",
    b"\"alg\":\"ES256\"",
    b"\"alg\":\"none\"",
    b"\"typ\":\"JOSE\"",
    b"\"aud\":[\"tallyport\"]",
    b"\"cnf\":{\"jkt\":\"a\"}",
    b"\"exp\":1767225660",
    b"\"iat\":1767225600",
    b"\\u002f",
    b"-----BEGIN CERTIFICATE-----\n",
];

const DOMAIN: &str = "prod.example.com";
const BILLING: &str = "spiffe://prod.example.com/ns/agents/sa/billing";
const AUDIENCE: &str = "tallyport";
/// 2026-01-01T00:00:00Z.
const NOW: i64 = 1_767_225_600;

static TRUST: LazyLock<TrustDomain> =
    LazyLock::new(|| trusting(bundle().to_string().as_bytes()).expect("a bundle"));

fn trusting(bundle: &[u8]) -> Option<TrustDomain> {
    let text = format!(
        "name = '{DOMAIN}'\nbundle_file = 'none'\naudiences = ['{AUDIENCE}']\n\
         [[workloads]]\npath = '/ns/agents/*'\nkind = 'agent'\ngroups = ['agents']\n\
         [[workloads]]\npath = '/ns/ops/sa/backup'\n"
    );
    let config: TrustDomainConfig = toml::from_str(&text).expect("a trust domain");
    TrustDomain::new(config, bundle)
}

fn bundle() -> Value {
    let authority = STANDARD.encode(certificate::authority());
    let x509 = json!({ "use": "x509-svid", "kty": "OKP", "x5c": [authority] });
    json!({ "keys": [x509, jwt::public()], "spiffe_sequence": 1 })
}

fn now() -> Timestamp {
    Timestamp::from_second(NOW).expect("a time")
}

/// One of each kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    let with = |mode: u8, bytes: &[u8]| [&[mode], bytes].concat();
    let ids = [BILLING, "spiffe://prod.example.com/a//b", "spiffe://other/x", "spiffe://a:1/b"];
    let mut seeds = vec![
        with(b'L', &certificate::genuine()),
        with(b'B', bundle().to_string().as_bytes()),
        with(b'R', jwt::GENUINE.as_bytes()),
    ];
    seeds.extend(ids.map(|id| with(b'I', id.as_bytes())));
    seeds.extend(certificate::seeds().iter().map(|it| with(b'E', it)));
    seeds.extend(jwt::seeds().iter().flat_map(|it| [with(b'J', it), with(b'K', it)]));
    seeds
}

/// Whoever is taken for a workload is one by what the domain signed, for us, now, in every reading.
pub fn run(data: &[u8]) {
    let Some((mode, rest)) = data.split_first() else { return };
    let text = std::str::from_utf8(rest).ok();
    match (mode, text) {
        (b'L', _) => {
            if let Ok(identity) = TRUST.verify_chain(&[rest], now()) {
                assert!(certificate::is_genuine(rest), "nobody signed it");
                assert_eq!(identity.principal.subject, BILLING);
            }
        }
        (b'E', _) => extensions(rest),
        (b'J', _) => jwt::signed_by_domain(rest),
        (b'K', _) => jwt::signed_by_another(rest),
        (b'R', Some(token)) => jwt::as_it_is(token),
        (b'B', _) => bundles(rest),
        (b'I', Some(text)) => ids(text),
        _ => {}
    }
}

/// What an authority signed is taken where it is what a workload's certificate may be, and only now.
fn extensions(data: &[u8]) {
    let said = Said::read(data);
    let certificate = Certificate::of(&said);
    let identity = match TRUST.verify_chain(&[&certificate.der], now()) {
        Ok(identity) => identity,
        Err(failure) => {
            let shown = format!("{failure} {failure:?}");
            let names = said.names.iter().filter_map(|it| std::str::from_utf8(&it.1).ok());
            // Short ones may be our own words.
            let mut names = names.filter(|it| it.len() > 20 && !shown_by_us(it));
            return assert!(names.all(|it| !shown.contains(it)), "{shown}");
        }
    };
    assert!(!said.of_stranger, "somebody else signed it");
    assert!(!said.is_late && !said.is_early, "not now");
    let der = certificate.der.as_slice().into();
    let other = webpki::EndEntityCert::try_from(&der).expect("another reader reads it");
    let uris: Vec<&str> = other.valid_uri_names().collect();
    assert_eq!(uris, [identity.principal.subject.as_str()], "another reader reads another name");
    if !said.has_raw {
        let uris = said.names.iter().filter(|(tag, _)| *tag == 0x86).count();
        assert_eq!(uris, 1, "it has not exactly one URI");
        let [_, usage, ..] = said.usage.as_slice() else { panic!("no key usage") };
        assert_eq!(usage & 0x86, 0x80, "it may not sign, or signs certificates");
    }
    assert_eq!(identity.expires_at.as_second(), certificate::ENDS + 1);
    assert_eq!(TRUST.verify_chain(&[&certificate.der], later()).ok(), None, "it has ended");
    is_workload(&identity);
}

/// Our own words, which may stand in a name by chance.
fn shown_by_us(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_lowercase() || b" (),".contains(&byte))
}

fn later() -> Timestamp {
    Timestamp::from_second(certificate::ENDS + 1).expect("a time")
}

fn is_workload(identity: &Identity) {
    let principal = &identity.principal;
    assert_eq!(principal.issuer, format!("spiffe://{DOMAIN}"));
    let (domain, path) = workload_id(&principal.subject).expect("an id");
    assert_eq!(domain, DOMAIN);
    let is_agent = path.starts_with("/ns/agents/");
    assert!(is_agent || path == "/ns/ops/sa/backup", "{path} is nobody");
    let kind = if is_agent { PrincipalKind::Agent } else { PrincipalKind::Service };
    assert_eq!(principal.kind, kind);
    assert_eq!(principal.groups, if is_agent { vec!["agents"] } else { Vec::new() });
    assert!(identity.delegation.is_empty() && identity.scopes.is_empty());
}

/// Members beside are passed over, even those that are no text.
#[derive(serde::Deserialize)]
struct Read {
    keys: Vec<Value>,
}

/// A bundle lets in whoever it names: its authority's key, and its key of tokens.
fn bundles(data: &[u8]) {
    let Some(trust) = trusting(data) else { return };
    let bundle: Read = serde_json::from_slice(data).expect("tokens are of bundles in JSON alone");
    let of_use = |wanted: &'static str| bundle.keys.iter().filter(move |it| it["use"] == wanted);
    if trust.verify_chain(&[&certificate::genuine()], now()).is_ok() {
        let of = |key: &Value| STANDARD.decode(key["x5c"][0].as_str().unwrap_or_default()).ok();
        let ours = certificate::authority_key();
        let has = |der: &Vec<u8>| der.windows(ours.len()).any(|it| it == ours);
        assert!(of_use("x509-svid").filter_map(of).any(|der| has(&der)), "somebody else's");
    }
    if trust.verify_token(jwt::GENUINE, now()).is_ok() {
        let ours = jwt::public();
        let is_ours = |key: &Value| key["x"] == ours["x"] && key["y"] == ours["y"];
        assert!(of_use("jwt-svid").any(is_ours), "somebody else's");
    }
}

/// An id is what another reader of URIs reads, and nothing beside.
fn ids(text: &str) {
    let Some((domain, path)) = workload_id(text) else { return };
    assert_eq!(format!("spiffe://{domain}{path}"), text, "it is not all of it");
    assert!(path.len() > 1 && !path.ends_with('/') && !path.contains("//"));
    assert!(path.split('/').all(|it| !matches!(it, "." | "..")), "it leads elsewhere");
    let uri: http::Uri = text.parse().expect("another reader reads it");
    assert_eq!((uri.scheme_str(), uri.path()), (Some("spiffe"), path.as_str()));
    assert_eq!(uri.authority().map(http::uri::Authority::as_str), Some(domain.as_str()));
    assert_eq!((uri.query(), uri.port_u16()), (None, None));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_taken() {
        let identity = TRUST.verify_chain(&[&certificate::genuine()], now()).expect("it is good");
        is_workload(&identity);
        let identity = TRUST.verify_token(jwt::GENUINE, now()).expect("it is good");
        is_workload(&identity);
        let good = certificate::seeds().into_iter().next().expect("a good one");
        let certificate = Certificate::of(&Said::read(&good));
        assert!(TRUST.verify_chain(&[&certificate.der], now()).is_ok());
    }
}

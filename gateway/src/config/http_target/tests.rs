use super::super::{AnyTarget, RawAnyTarget};
use super::*;
use gateway_core::http::Asked;

const LEAST: &str = "kind = 'http'\nname = 'crm'\nurl = 'https://crm.example.com/api'\n[[routes]]\nname = 'customer'\n\
                     method = 'GET'\npath = '/customers/{id}'\n";

fn check(text: &str) -> Result<HttpTarget, String> {
    let raw: RawAnyTarget = toml::from_str(text).map_err(|error| error.to_string())?;
    match raw.check(Path::new("/etc/tallyport")).map_err(|error| error.to_string())? {
        AnyTarget::Http(target) => Ok(*target),
        other => Err(format!("{other:?}")),
    }
}

#[test]
fn what_is_written_is_what_is_used() {
    let text = format!(
        "token = {{ file = 'crm.token' }}\nrecording = 'digest'\ndetectors = {{ secrets = 'deny' }}\n{LEAST}query = ['limit']\n\
         masks = [{{ at = ['/card'], mask = 'partial:last4' }}]\nlabels = ['pii']\n",
    );
    let checked = check(&text).unwrap();
    let token = checked.target.shown.token.as_ref().unwrap();
    assert!(
        matches!(token, Credential::File(file) if file == Path::new("/etc/tallyport/crm.token"))
    );
    assert_eq!(checked.target.reference.kind, TargetKind::Http);
    let read = |target: &str| {
        let asked = Asked::read("GET", target, Vec::new(), bytes::Bytes::new()).unwrap();
        checked.protocol.read(asked)
    };
    let reading = read("/customers/7?limit=1");
    assert!(reading.wanted.is_ok());
    assert_eq!(reading.question.facts.functions, ["crm/customer"]);
    assert_eq!(reading.question.facts.labels, ["pii"]);
    assert!(reading.question.facts.read_only);
    assert_eq!(reading.plan.hides.len(), 1);
    assert_eq!(read("/customers/7?order=1").wanted.unwrap_err().status, 400);
    assert_eq!(read("/customers").wanted.unwrap_err().status, 404);
}

#[test]
fn what_cannot_be_meant_names_its_key() {
    for (from, to, key) in [
        ("'crm'", "'CRM'", "name"),
        ("https://crm", "http://crm", "url"),
        ("https://crm", "https://me:you@crm", "url"),
        ("/api'", "/api?x=1'", "url"),
        ("'GET'", "'get'", "routes"),
        ("'GET'", "'TRACE'", "routes"),
        ("{id}", "{id", "routes"),
        ("'customer'", "'a b'", "routes"),
        ("path =", "masks = [{ at = ['card'], mask = 'redact' }]\npath =", "routes"),
        ("path =", "masks = [{ at = ['/card'], mask = 'hash' }]\npath =", "routes"),
        ("path =", "body = ['/a']\npath =", "routes"),
        ("path =", "query = ['a', 'a*']\npath =", "routes"),
        ("[[routes]]", "[[roads]]", "roads"),
        ("method =", "methods =", "methods"),
        ("kind =", "detectors = { cats = 'mask' }\nkind =", "detectors"),
        ("kind =", "headers = { host = { value = 'x' } }\nkind =", "headers"),
        (
            "kind =",
            "token = { value = 'x' }\nbasic = { user = 'a', password = { value = 'x' } }\nkind =",
            "token",
        ),
        ("kind =", "basic = { user = 'a:b', password = { value = 'x' } }\nkind =", "basic"),
        ("kind =", "answer_fields = ['set-cookie']\nkind =", "answer_fields"),
        ("kind =", "request_fields = ['Host']\nkind =", "request_fields"),
        ("kind =", "recording = 'head:3'\nkind =", "recording"),
        ("kind =", "timeout_seconds = 0\nkind =", "timeout_seconds"),
        ("kind =", "max_request_bytes = 0\nkind =", "max_request_bytes"),
        ("kind =", "client_cert = 'a.pem'\nkind =", "client_cert"),
        ("kind =", "database = 'app'\nkind =", "database"),
        ("kind = 'http'", "kind = 'ftp'", "kind"),
    ] {
        let told = check(&LEAST.replacen(from, to, 1)).unwrap_err();
        assert!(told.contains(key), "{to}: {told}");
    }
    let none = LEAST.split("[[routes]]").next().unwrap();
    assert!(check(none).unwrap_err().contains("routes"));
    let twice = format!(
        "{LEAST}[[routes]]\nname = 'other'\nmethod = 'GET'\npath = '/customers/{{number}}'\n"
    );
    assert!(check(&twice).unwrap_err().contains("mean the same"));
}

#[test]
fn a_secret_is_never_shown() {
    let text = LEAST.replace("kind =", "token = { value = 'hunter2' }\nkind =");
    assert!(!format!("{:?}", check(&text).unwrap()).contains("hunter2"));
}

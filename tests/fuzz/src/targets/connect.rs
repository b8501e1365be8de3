//! The head of a request: what opens a tunnel, to where, with which token.

use http::{HeaderName, HeaderValue, Method, Request};
use tallyport_gateway::fuzz::{connect, target_name};

/// Fields and authorities.
pub const WORDS: &[&[u8]] = &[
    b"authorization: Bearer ",
    b"proxy-authorization: Bearer ",
    b"\n",
    b"https://",
    b"orders-db",
    b":5432",
    b"/",
    b"?",
    b"user@",
    b"[::1]",
    b"..",
    b"%2e",
    b"traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
];

/// Heads as text: the request target, then one field a line.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "orders-db",
        "orders-db:5432\nauthorization: Bearer abc.def.ghi",
        "https://orders-db/\nproxy-authorization: bearer xyz",
        "db\nauthorization: Bearer a\nauthorization: Bearer b",
        "db\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "user@db:1",
        "[::1]:5432",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// A name is of its alphabet and within its length; one token at most; what is refused is refused with a client error.
pub fn run(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let uri = lines.next().unwrap_or_default();
    if let Ok(authority) = std::str::from_utf8(uri)
        && let Some(name) = target_name(authority)
    {
        check_name(&name, authority);
    }
    let Ok(uri) = http::Uri::try_from(uri) else { return };
    let mut request = Request::new(());
    *request.method_mut() = Method::CONNECT;
    *request.uri_mut() = uri;
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name), HeaderValue::from_bytes(value))
        {
            request.headers_mut().append(name, value);
        }
    }
    let (head, ()) = request.into_parts();
    let fields = ["authorization", "proxy-authorization"];
    let tokens: usize = fields.iter().map(|name| head.headers.get_all(*name).iter().count()).sum();
    match connect(&head) {
        Ok((name, token)) => {
            check_name(&name, head.uri.authority().expect("a name stands there").as_str());
            assert!(tokens <= 1, "two tokens leave open which was checked");
            if let Some(token) = token {
                assert!(!token.is_empty() && token.trim() == token);
            }
        }
        Err(status) => assert!((400..500).contains(&status) || status == 501, "{status}"),
    }
}

fn check_name(name: &str, authority: &str) {
    let known = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.');
    assert!((1..=128).contains(&name.len()) && name.bytes().all(known), "{name:?}");
    let rest = authority.strip_prefix(name).expect("a name is the head of its authority");
    assert!(rest.is_empty() || rest.starts_with(':'));
    assert_eq!(target_name(name).as_deref(), Some(name), "a name names itself");
}

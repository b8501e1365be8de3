//! What the fronts read from a request and how they answer it. No IO.

use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION,
    RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::{Method, Response, StatusCode, Uri, request};
use tallyport_access::ProofVerifier;
use tallyport_schemas::TraceId;

use super::trace::trace_id;
use crate::tunnel::{BearerToken, Refusal};

/// RFC 9449 sections 4.1 and 8.1.
pub(crate) const DPOP: HeaderName = HeaderName::from_static("dpop");
pub(crate) const DPOP_NONCE: HeaderName = HeaderName::from_static("dpop-nonce");
/// The code of a refusal that only tells the nonce of the next proof (RFC 9449 section 9).
pub(crate) const USE_NONCE: &str = "use_dpop_nonce";
/// The longest name of a target that a front looks at.
const MAX_TARGET_NAME_BYTES: usize = 128;
/// What a client that was turned away for now should wait.
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");
/// Fields that belong to one HTTP/1.1 connection; HTTP/2 and HTTP/3 forbid them (RFC 9114 section 4.2).
const CONNECTION_FIELDS: [HeaderName; 5] = [
    http::header::CONNECTION,
    http::header::TRANSFER_ENCODING,
    http::header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The name of a target, as far as syntax goes; whether there is one is the service's to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TargetName(String);

impl TargetName {
    /// A name of `[a-z0-9-_.]`, or `name:port`, whose port is not looked at: clients of HTTP/1.1 and HTTP/2 insist on
    /// one (RFC 9110 section 9.3.6), and a target's port is configured, never asked for.
    pub(crate) fn parse(authority: &str) -> Option<Self> {
        let name = match authority.rsplit_once(':') {
            Some((name, port)) => {
                port.parse::<u16>().ok()?;
                name
            }
            None => authority,
        };
        let known =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        let fits = !name.is_empty() && name.len() <= MAX_TARGET_NAME_BYTES;
        (fits && name.bytes().all(known)).then(|| Self(name.to_owned()))
    }

    pub(crate) fn into_string(self) -> String {
        self.0
    }
}

/// The parts of a CONNECT that a front has checked.
#[derive(Debug)]
pub(super) struct Connect {
    pub(super) target: String,
    pub(super) presented: Presented,
    pub(super) trace_id: TraceId,
}

/// The answer to a request that goes no further; boxed, since it is much larger than what goes on.
pub(super) type Refused = Box<Response<Bytes>>;

/// Reads a classic CONNECT (RFC 9110 section 9.3.6; RFC 9114 section 4.4).
pub(super) fn connect(head: &request::Parts) -> Result<Connect, Refused> {
    if head.extensions.get::<h3::ext::Protocol>().is_some()
        || head.extensions.get::<hyper::ext::Protocol>().is_some()
    {
        let message = "extended CONNECT is not served; send CONNECT without :protocol";
        return Err(answer(StatusCode::NOT_IMPLEMENTED, "unsupported_protocol", message).into());
    }
    let target = authority(&head.uri).and_then(TargetName::parse).ok_or_else(|| {
        let message = "CONNECT takes the name of a configured target (a-z, 0-9, `-`, `_`, `.`), as in `CONNECT orders-db`";
        Refused::from(answer(StatusCode::BAD_REQUEST, "bad_target", message))
    })?;
    let presented = presented(&head.headers, true).map_err(|Twice(message)| {
        Refused::from(answer(StatusCode::BAD_REQUEST, "invalid_request", message))
    })?;
    Ok(Connect { target: target.into_string(), presented, trace_id: trace_id(&head.headers) })
}

/// The authority of a target that has nothing else. `https` and `/` are let pass: h3's client adds them to every
/// CONNECT, against RFC 9114 section 4.4.
fn authority(uri: &Uri) -> Option<&str> {
    let bare = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
    uri.authority().filter(|_| bare).map(http::uri::Authority::as_str)
}

/// What a request presents.
#[derive(Debug, Default)]
pub(crate) struct Presented {
    pub(crate) token: Option<BearerToken>,
    /// Of a token that is said to be bound to a key; empty where it came without.
    pub(crate) proof: Option<String>,
}

/// A field that may stand once stands twice: which of them was meant is unknown.
pub(crate) struct Twice(pub(crate) &'static str);

/// `Authorization`, or with `proxy` also `Proxy-Authorization`, which is where clients that know us as a proxy put it; one
/// value only, since two would leave open which of them was checked. The same holds for a proof (RFC 9449 section 4.3).
pub(crate) fn presented(headers: &HeaderMap, proxy: bool) -> Result<Presented, Twice> {
    let none = HeaderMap::new();
    let of_proxy = if proxy { headers } else { &none };
    let mut values =
        headers.get_all(AUTHORIZATION).iter().chain(of_proxy.get_all(PROXY_AUTHORIZATION).iter());
    let value = values.next();
    if values.next().is_some() {
        return Err(Twice("send one token: one Authorization or one Proxy-Authorization field"));
    }
    let mut proofs = headers.get_all(DPOP).iter();
    let proof = proofs.next();
    if proofs.next().is_some() {
        return Err(Twice("send one proof: one DPoP field"));
    }
    let Some((token, bound)) =
        value.and_then(|value| value.to_str().ok()).and_then(BearerToken::from_authorization)
    else {
        return Ok(Presented::default());
    };
    let text = || proof.and_then(|it| it.to_str().ok()).unwrap_or_default().to_owned();
    Ok(Presented { token: Some(token), proof: bound.then(text) })
}

/// How a client gets a token that is taken here.
#[derive(Clone, Debug)]
pub(crate) struct Challenge {
    /// The URL of a document (RFC 9728 section 5.1).
    pub(crate) resource_metadata: String,
    /// What the token must be issued for, where anything is asked.
    pub(crate) scope: Option<String>,
}

impl Challenge {
    /// As parameters of a challenge, each after a comma.
    pub(crate) fn parameters(&self) -> String {
        let scope = self.scope.as_ref().map(|scope| format!(", scope=\"{}\"", quotable(scope)));
        let metadata = quotable(&self.resource_metadata);
        format!(", resource_metadata=\"{metadata}\"{}", scope.unwrap_or_default())
    }
}

/// What may stand in a quoted parameter as it is (RFC 6750 section 3).
pub(crate) fn quotable(text: &str) -> String {
    text.chars().filter(|c| matches!(c, ' '..='~') && !matches!(c, '"' | '\\')).collect()
}

/// The answer to a request that the service refused. `challenge` tells a client without a good token how to get one.
pub(crate) fn refusal(
    refusal: &Refusal,
    token_was_sent: bool,
    challenge: Option<&Challenge>,
) -> Response<Bytes> {
    let status = StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut response = answer(status, refusal.code, &refusal.message);
    if status == StatusCode::UNAUTHORIZED {
        // RFC 6750 section 3: without a token there is no error to name. RFC 9449 sections 7.1 and 9: about a proof it is
        // named in that scheme.
        let [bearer, dpop] = match refusal.code {
            USE_NONCE => ["", ", error=\"use_dpop_nonce\""],
            "invalid_dpop_proof" => ["", ", error=\"invalid_dpop_proof\""],
            _ if token_was_sent => [", error=\"invalid_token\"", ""],
            _ => ["", ""],
        };
        let (how, why) = match challenge {
            Some(challenge) if bearer.is_empty() => (challenge.parameters(), String::new()),
            Some(challenge) => {
                let why = format!(", error_description=\"{}\"", quotable(&refusal.message));
                (challenge.parameters(), why)
            }
            None => (String::new(), String::new()),
        };
        let challenges = [
            format!("Bearer realm=\"tallyport\"{how}{bearer}{why}"),
            format!("DPoP realm=\"tallyport\"{dpop}, algs=\"{}\"", ProofVerifier::ALGORITHMS),
        ];
        for challenge in challenges {
            if let Ok(challenge) = HeaderValue::try_from(challenge) {
                response.headers_mut().append(WWW_AUTHENTICATE, challenge);
            }
        }
    }
    if let Some(Ok(nonce)) = refusal.nonce.as_ref().map(HeaderValue::try_from) {
        response.headers_mut().insert(DPOP_NONCE, nonce);
    }
    response
}

/// A JSON answer `{"code":...,"message":...}`.
pub(crate) fn answer(status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    let body = serde_json::json!({ "code": code, "message": message }).to_string();
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
        headers.insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    }
    response
}

/// Whether this request opens a tunnel.
pub(super) fn is_connect(method: &Method) -> bool {
    method == Method::CONNECT
}

/// Takes out what only an HTTP/1.1 connection may carry.
pub(super) fn strip_connection_fields(headers: &mut HeaderMap) {
    for field in CONNECTION_FIELDS {
        headers.remove(field);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(uri: &str, fields: &[(&str, &str)]) -> request::Parts {
        let mut builder = http::Request::builder().method(Method::CONNECT).uri(uri);
        for (name, value) in fields {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap().into_parts().0
    }

    #[test]
    fn targets_are_names_with_or_without_a_port() {
        for (authority, name) in
            [("db", "db"), ("orders-db.eu_1:5432", "orders-db.eu_1"), ("db:0", "db")]
        {
            assert_eq!(TargetName::parse(authority).unwrap().into_string(), name);
        }
        let long = "a".repeat(MAX_TARGET_NAME_BYTES + 1);
        for bad in [
            "", ":1", "DB", "a b", "user@db", "[::1]:5", "db:x", "db:70000", "db:1:2", "d%62",
            &long,
        ] {
            assert_eq!(TargetName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn connect_takes_the_authority_alone() {
        assert_eq!(connect(&head("db:1", &[])).unwrap().target, "db");
        assert_eq!(connect(&head("https://db/", &[])).unwrap().target, "db");
        for uri in ["https://db/path", "https://db/?query", "/db", "*"] {
            assert_eq!(
                connect(&head(uri, &[])).unwrap_err().status(),
                StatusCode::BAD_REQUEST,
                "{uri}"
            );
        }
    }

    #[test]
    fn token_comes_from_either_field_but_only_once() {
        let one = connect(&head("db", &[("authorization", "Bearer abc")])).unwrap();
        assert_eq!(one.presented.token.unwrap().expose(), "abc");
        let other = connect(&head("db", &[("proxy-authorization", "bearer xyz")])).unwrap();
        assert_eq!(other.presented.token.unwrap().expose(), "xyz");
        assert!(
            connect(&head("db", &[("authorization", "Basic abc")]))
                .unwrap()
                .presented
                .token
                .is_none()
        );
        let both = [("authorization", "Bearer abc"), ("proxy-authorization", "Bearer abc")];
        assert_eq!(connect(&head("db", &both)).unwrap_err().status(), StatusCode::BAD_REQUEST);
        let twice = [("authorization", "Bearer abc"), ("authorization", "Bearer abd")];
        assert_eq!(connect(&head("db", &twice)).unwrap_err().status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn unauthorized_names_the_error_only_when_there_was_a_token() {
        let refused = Refusal::new(401, "invalid_token", "the token expired");
        let with = refusal(&refused, true, None);
        assert!(with.headers()[WWW_AUTHENTICATE].to_str().unwrap().contains("invalid_token"));
        let without = refusal(&refused, false, None);
        assert!(!without.headers()[WWW_AUTHENTICATE].to_str().unwrap().contains("error"));
        let body: serde_json::Value = serde_json::from_slice(with.body()).unwrap();
        assert_eq!(
            body,
            serde_json::json!({"code": "invalid_token", "message": "the token expired"})
        );
    }
}

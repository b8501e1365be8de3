//! Signing in and out: authorization code with PKCE at a configured issuer, the token in a sealed cookie.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Json;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Path, Query, Request, State};
use axum::http::header::{AUTHORIZATION, LOCATION, SET_COOKIE};
use axum::http::{Extensions, HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tallyport_access::client::{Begun, CodeAnswer, Granted, SignInError, TokenError};
use tallyport_access::{AuthFailure, SecretToken};
use tallyport_schemas::{Front, TraceId};
use tokio::time::timeout;
use tower::ServiceExt as _;

use crate::cookie;
use crate::error::PageError;
use crate::forward::of_the_front;
use crate::seal::Purpose;
use crate::state::{Console, SignedIn};

/// The longest place in the page that a sign-in comes back to.
const MAX_BACK_BYTES: usize = 512;

/// The longest a sign-in waits for those before it.
const FINISH_PATIENCE: Duration = Duration::from_secs(5);

/// Puts failed sign-ins on record. Those that succeed are: the token check is an event.
#[async_trait]
pub trait Witness: Send + Sync {
    /// Returns once it is on record, or counted where a flood is. Whether it is changes nothing for the browser: it is
    /// not signed in either way.
    async fn failed(&self, peer: SocketAddr, front: Front, trace_id: TraceId, failure: AuthFailure);
}

/// What a browser keeps while its person is at the issuer.
#[derive(Serialize, Deserialize)]
struct Pending {
    provider: String,
    begun: Begun,
    back: String,
    at: Timestamp,
}

#[derive(Deserialize)]
pub(crate) struct Wanted {
    provider: String,
    #[serde(rename = "return", default)]
    back: String,
}

/// `GET /console/session`: whether somebody is signed in, and where one may be.
pub(crate) async fn session(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
) -> Json<Value> {
    Json(told(&console, console.signed_in(&headers).as_ref()))
}

fn told(console: &Console, who: Option<&SignedIn>) -> Value {
    let providers: Vec<Value> = console
        .providers
        .iter()
        .map(|provider| json!({ "id": provider.id, "name": provider.name }))
        .collect();
    let now = Timestamp::now();
    let renewable = who.is_some_and(|who| who.refresh_token.is_some());
    let who = who.filter(|who| renewable || who.expires_at > now);
    json!({
        "signed_in": who.is_some(),
        "expires_at": who.map(|who| who.expires_at),
        "renewable": renewable,
        "providers": providers,
        "audit": console.audit.is_some(),
    })
}

/// `GET /console/sign-in?provider=ID&return=#/...`: on to the issuer.
pub(crate) async fn begin(
    State(console): State<Arc<Console>>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    let provider = console
        .provider(&wanted.provider)
        .ok_or_else(|| PageError::bad_request("there is no such provider; begin at /console/"))?;
    let (url, begun) = match provider.flow.begin(&provider.redirect_uri).await {
        Ok(begun) => begun,
        Err(error) => {
            tracing::warn!(provider = provider.id, %error, "a sign-in cannot begin");
            return Ok(back(&console, "", Some("provider"), Vec::new()));
        }
    };
    let pending = Pending {
        provider: provider.id.clone(),
        begun,
        back: place(&wanted.back).unwrap_or_default().to_owned(),
        at: Timestamp::now(),
    };
    let sealed = console.seal.seal(Purpose::Pending, &pending);
    let cookie = sealed.and_then(|sealed| cookie::set_pending(&sealed));
    let cookie = cookie.ok_or_else(|| PageError::internal("the sign-in cannot be kept"))?;
    let location = HeaderValue::try_from(url.as_str())
        .map_err(|_| PageError::internal("the issuer's address cannot be sent"))?;
    Ok((StatusCode::SEE_OTHER, [(LOCATION, location), (SET_COOKIE, cookie)]).into_response())
}

/// `GET /console/callback/PROVIDER`: the browser is back.
pub(crate) async fn callback(
    State(console): State<Arc<Console>>,
    Path(came_from): Path<String>,
    answer: Result<Query<CodeAnswer>, QueryRejection>,
    request: Request,
) -> Response {
    // What is no such answer is none to what was asked, either.
    let answer = answer.map(|Query(answer)| answer).unwrap_or_default();
    let (parts, _) = request.into_parts();
    let done = finish(&console, &came_from, (&parts.headers, &parts.extensions), answer).await;
    let mut cookies: Vec<HeaderValue> = cookie::clear_pending().into_iter().collect();
    match done {
        Ok((to, set)) => {
            cookies.extend(set);
            back(&console, &to, None, cookies)
        }
        Err((shown, failure)) => {
            witness(&console, &parts.extensions, failure).await;
            back(&console, "", Some(shown), cookies)
        }
    }
}

/// What the page is told, and what is on record.
type Failed = (&'static str, AuthFailure);

async fn finish(
    console: &Console,
    came_from: &str,
    (headers, extensions): (&HeaderMap, &Extensions),
    answer: CodeAnswer,
) -> Result<(String, Vec<HeaderValue>), Failed> {
    let failed = |issuer: Option<&str>, shown, code, what| {
        (shown, AuthFailure::sign_in(code, what, issuer.map(str::to_owned)))
    };
    let pending: Pending = cookie::read(headers, cookie::PENDING)
        .and_then(|sealed| console.seal.open(Purpose::Pending, &sealed))
        .ok_or_else(|| {
            let what = "a browser came back from a sign-in that it did not begin here";
            failed(None, "state", "sign_in_unasked", what)
        })?;
    let provider = console.provider(&pending.provider).ok_or_else(|| {
        failed(None, "state", "sign_in_unasked", "the provider of the sign-in is gone")
    })?;
    let issuer = Some(provider.flow.issuer());
    if provider.id != came_from {
        let what = "another issuer answered than was asked (RFC 9700 section 4.4)";
        return Err(failed(issuer, "state", "sign_in_issuer", what));
    }
    let age = Timestamp::now().duration_since(pending.at).as_secs();
    if !(0..=cookie::PENDING_SECONDS).contains(&age) {
        return Err(failed(issuer, "expired", "sign_in_late", "the sign-in took too long"));
    }
    let granted = {
        let Ok(permit) = timeout(FINISH_PATIENCE, console.finishing.acquire()).await else {
            let what = "too many sign-ins came at once";
            return Err(failed(issuer, "unavailable", "sign_in_busy", what));
        };
        let finished = provider.flow.finish(&pending.begun, answer, &provider.redirect_uri).await;
        drop(permit);
        finished.map_err(|error| {
            let (shown, code, what) = described(&error);
            tracing::debug!(provider = provider.id, %error, "a sign-in failed");
            failed(issuer, shown, code, what)
        })?
    };
    // The gateway says whether it takes the token, and that is on record; where it does not, so is why.
    match welcome(console, &granted.access_token, extensions).await {
        Ok(()) => {}
        Err("unavailable") => {
            let what = "the gateway could not check the token that the issuer gave";
            return Err(failed(issuer, "unavailable", "sign_in_unchecked", what));
        }
        Err(shown) => {
            let what = "the gateway does not take the token that the issuer gave";
            return Err(failed(issuer, shown, "sign_in_token", what));
        }
    }
    let signed_in = signed_in(&pending.provider, granted, None, Timestamp::now());
    let set = keep(console, &signed_in).ok_or_else(|| {
        failed(issuer, "token", "sign_in_token", "the issuer's tokens are too large for a browser")
    })?;
    Ok((pending.back, set))
}

fn described(error: &SignInError) -> (&'static str, &'static str, &'static str) {
    match error {
        SignInError::State => (
            "state",
            "sign_in_state",
            "the answer is not for what was asked (RFC 6749 section 10.12)",
        ),
        SignInError::OtherIssuer => {
            ("state", "sign_in_issuer", "another issuer answered (RFC 9207 section 2.4)")
        }
        SignInError::Refused { code } => refused(code),
        SignInError::Token(TokenError::Refused { .. }) => {
            ("provider", "sign_in_code", "the issuer did not take the code")
        }
        SignInError::Token(_) => ("provider", "sign_in_provider", "the issuer could not be asked"),
    }
}

/// What an issuer means by an error code (RFC 6749 section 4.1.2.1, RFC 8707 section 2): only some of them are a no to a person.
fn refused(code: &str) -> (&'static str, &'static str, &'static str) {
    let what = match code {
        "invalid_target" => {
            "invalid_target: the issuer does not know the audience that it is asked for (`audience` of the sign-in)"
        }
        "invalid_scope" => "invalid_scope: the issuer does not give a scope that it is asked for",
        "unauthorized_client" => "unauthorized_client: the issuer does not let this client ask",
        "unsupported_response_type" => {
            "unsupported_response_type: the issuer gives this client no code"
        }
        "invalid_request" => "invalid_request: the issuer does not take what it is asked",
        "server_error" | "temporarily_unavailable" => {
            return ("provider", "sign_in_provider", "the issuer says that it cannot, now");
        }
        _ => return ("denied", "sign_in_denied", "the issuer, or the person there, said no"),
    };
    ("setup", "sign_in_setup", what)
}

/// `POST /console/renew`: the next token, before the present one ends.
pub(crate) async fn renew(
    State(console): State<Arc<Console>>,
    headers: HeaderMap,
) -> Result<Response, PageError> {
    let who = console.signed_in(&headers).ok_or_else(PageError::signed_out)?;
    let provider = console.provider(&who.provider).ok_or_else(PageError::signed_out)?;
    let refresh = who.refresh_token.as_ref().ok_or_else(PageError::signed_out)?;
    match provider.flow.renew(refresh).await {
        Ok(granted) => {
            let next = signed_in(&who.provider, granted, Some(refresh.clone()), who.since);
            let cookies = keep(&console, &next).ok_or_else(|| {
                PageError::internal("the issuer's tokens are too large for a browser")
            })?;
            Ok(with_cookies(Json(told(&console, Some(&next))).into_response(), cookies))
        }
        Err(error) => {
            tracing::info!(provider = provider.id, %error, "a sign-in was not renewed");
            match error {
                TokenError::Refused { .. } => Ok(with_cookies(
                    PageError::signed_out().into_response(),
                    cookie::clear_session(),
                )),
                _ => Err(PageError::unavailable("the issuer cannot be asked now; try again later")),
            }
        }
    }
}

/// `POST /console/sign-out`: here at once, and at the issuer as far as it takes that.
pub(crate) async fn sign_out(State(console): State<Arc<Console>>, headers: HeaderMap) -> Response {
    let mut there = None;
    if let Some(who) = console.signed_in(&headers)
        && let Some(provider) = console.provider(&who.provider)
    {
        let token = who.refresh_token.as_ref().unwrap_or(&who.access_token);
        match provider.flow.end(token, &who.access_token).await {
            Ok(url) => there = url,
            Err(error) => {
                tracing::info!(provider = provider.id, %error, "the issuer was not told of a sign-out")
            }
        }
    }
    let response = Json(json!({ "provider_sign_out": there })).into_response();
    with_cookies(response, cookie::clear_session())
}

fn signed_in(
    provider: &str,
    granted: Granted,
    refresh_before: Option<SecretToken>,
    since: Timestamp,
) -> SignedIn {
    SignedIn {
        provider: provider.to_owned(),
        expires_at: Timestamp::now() + granted.life,
        access_token: granted.access_token,
        refresh_token: granted.refresh_token.or(refresh_before),
        since,
    }
}

fn keep(console: &Console, who: &SignedIn) -> Option<Vec<HeaderValue>> {
    cookie::set_session(&console.seal.seal(Purpose::Session, who)?)
}

/// Asks the gateway's own API who that is, as any client would.
async fn welcome(
    console: &Console,
    token: &SecretToken,
    extensions: &Extensions,
) -> Result<(), &'static str> {
    let value = HeaderValue::try_from(format!("Bearer {}", token.expose())).map_err(|_| "token")?;
    let request = Request::get("/v1/whoami").header(AUTHORIZATION, value).body(Body::empty());
    let mut request = request.map_err(|_| "token")?;
    *request.extensions_mut() = of_the_front(extensions);
    let answered = console.api.clone().oneshot(request).await;
    let response = answered.unwrap_or_else(|never| match never {});
    match response.status() {
        StatusCode::OK => Ok(()),
        status if status.is_server_error() => Err("unavailable"),
        _ => Err("token"),
    }
}

async fn witness(console: &Console, extensions: &Extensions, failure: AuthFailure) {
    let peer = extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
    let (front, trace_id) =
        (extensions.get::<Front>().copied(), extensions.get::<TraceId>().copied());
    // The fronts put all three there.
    if let (Some(peer), Some(front), Some(trace_id)) = (peer, front, trace_id) {
        console.witness.failed(peer, front, trace_id, failure).await;
    }
}

/// Back to the page.
fn back(
    console: &Console,
    place: &str,
    error: Option<&'static str>,
    cookies: Vec<HeaderValue>,
) -> Response {
    let error = error.map(|code| format!("?error={code}")).unwrap_or_default();
    let location = format!("{}console/{error}{place}", console.public_url);
    let response = match HeaderValue::try_from(location) {
        Ok(location) => (StatusCode::SEE_OTHER, [(LOCATION, location)]).into_response(),
        Err(_) => PageError::internal("the page's address cannot be sent").into_response(),
    };
    with_cookies(response, cookies)
}

fn with_cookies(mut response: Response, cookies: Vec<HeaderValue>) -> Response {
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}

/// A place in the page, and nothing else: it becomes part of an address.
fn place(text: &str) -> Option<&str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"#/-_.?=&~%".contains(&byte);
    (text.starts_with("#/") && text.len() <= MAX_BACK_BYTES && text.bytes().all(plain))
        .then_some(text)
}

#[cfg(test)]
mod tests {
    use super::place;

    #[test]
    fn a_sign_in_comes_back_to_a_place_in_the_page_and_nowhere_else() {
        assert_eq!(place("#/approvals/0195-ab?x=1"), Some("#/approvals/0195-ab?x=1"));
        let long = format!("#/{}", "a".repeat(512));
        for bad in [
            "",
            "/",
            "//evil.example",
            "https://evil.example",
            "#",
            "#/a b",
            "#/\r\nx",
            "#/<",
            &long,
        ] {
            assert_eq!(place(bad), None, "{bad:?}");
        }
    }
}

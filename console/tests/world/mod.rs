//! The pages before a real issuer (the development issuer, over HTTP) and a stand-in for the gateway's API, which checks
//! tokens with the real verifier and tells what it was asked. A `Browser` keeps cookies as browsers do.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{ConnectInfo, Request, State};
use axum::http::header::{AUTHORIZATION, COOKIE, HOST, LOCATION, SET_COOKIE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tallyport_access::client::{ClientAuthentication, ClientSettings};
use tallyport_access::dev_issuer::{AUDIENCE, DevClient, DevIssuer, PEOPLE_CLIENT};
use tallyport_access::{AuthFailure, Authenticator};
use tallyport_console::{AuditService, Console, ConsoleConfig, SealKey, SignInConfig, Witness};
use tallyport_schemas::{Front, TraceId};
use tower::ServiceExt as _;
use url::Url;

pub const LOCAL: &str = "https://localhost:8443";

/// What the pages are in front of.
pub struct World {
    pub issuer: DevIssuer,
    pub router: Router,
    pub failures: Arc<Failures>,
}

/// What went on record.
#[derive(Default)]
pub struct Failures(Mutex<Vec<AuthFailure>>);

impl Failures {
    pub fn codes(&self) -> Vec<&'static str> {
        self.0.lock().iter().map(AuthFailure::code).collect()
    }
}

#[async_trait]
impl Witness for Failures {
    async fn failed(&self, _: SocketAddr, _: Front, _: TraceId, failure: AuthFailure) {
        self.0.lock().push(failure);
    }
}

impl World {
    pub async fn start() -> Self {
        Self::with(None, None).await
    }

    pub async fn with(key: Option<SealKey>, audit: Option<Url>) -> Self {
        let issuer =
            DevIssuer::start("127.0.0.1:0".parse().unwrap(), DevClient::defaults()).await.unwrap();
        Self::before(issuer, key, audit)
    }

    /// The pages anew, before an issuer that is there.
    pub fn before(issuer: DevIssuer, key: Option<SealKey>, audit: Option<Url>) -> Self {
        let authenticator = Authenticator::new(vec![issuer.issuer_config()]).unwrap();
        let api = Router::new().fallback(api).with_state(authenticator);
        Self::in_front_of(api, issuer, key, audit)
    }

    /// Before a gateway that answers everything with this.
    pub async fn refusing(status: StatusCode) -> Self {
        let issuer =
            DevIssuer::start("127.0.0.1:0".parse().unwrap(), DevClient::defaults()).await.unwrap();
        let api = Router::new().fallback(move || async move { status });
        Self::in_front_of(api, issuer, None, None)
    }

    fn in_front_of(
        api: Router,
        issuer: DevIssuer,
        key: Option<SealKey>,
        audit: Option<Url>,
    ) -> Self {
        let failures = Arc::new(Failures::default());
        let config = ConsoleConfig {
            public_url: Url::parse(LOCAL).unwrap(),
            providers: vec![provider("dev", &issuer.issuer_url)],
            key,
            audit: audit.map(|url| AuditService { url, roots_pem: None }),
        };
        let console = Console::new(config, api, Arc::clone(&failures) as Arc<dyn Witness>).unwrap();
        Self { issuer, router: console.router(), failures }
    }

    pub fn browser(&self) -> Browser {
        Browser { router: self.router.clone(), cookies: BTreeMap::new() }
    }
}

pub fn provider(id: &str, issuer: &str) -> SignInConfig {
    SignInConfig {
        id: id.to_owned(),
        name: "Company".to_owned(),
        client: ClientSettings {
            issuer: issuer.to_owned(),
            client_id: PEOPLE_CLIENT.to_owned(),
            authentication: ClientAuthentication::Public,
            audience: Some(AUDIENCE.to_owned()),
            scope: None,
            roots_pem: None,
        },
    }
}

/// The gateway's API, as far as it is needed here: whoever has a good token is told what was asked, with all fields.
async fn api(State(authenticator): State<Authenticator>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let has_front = parts.extensions.get::<Front>().is_some()
        && parts.extensions.get::<ConnectInfo<SocketAddr>>().is_some()
        && parts.extensions.get::<TraceId>().is_some();
    assert!(has_front, "what the front said goes on");
    let token = parts.headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
    let token = token.and_then(|it| it.strip_prefix("Bearer ")).unwrap_or_default();
    let Ok(identity) = authenticator.verify(token).await else {
        let challenge = [("www-authenticate", "Bearer realm=\"tallyport\"")];
        return (StatusCode::UNAUTHORIZED, challenge, "no").into_response();
    };
    let fields: Vec<&str> = parts.headers.keys().map(|name| name.as_str()).collect();
    let body = to_bytes(body, 1 << 20).await.unwrap();
    let told = json!({
        "subject": identity.principal.subject,
        "method": parts.method.as_str(),
        "uri": parts.uri.to_string(),
        "fields": fields,
        "body": String::from_utf8_lossy(&body),
    });
    axum::Json(told).into_response()
}

/// One browser at the pages.
#[derive(Clone)]
pub struct Browser {
    router: Router,
    pub cookies: BTreeMap<String, String>,
}

/// What it got.
pub struct Got {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
}

impl Got {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub fn location(&self) -> &str {
        self.headers.get(LOCATION).unwrap().to_str().unwrap()
    }
}

impl Browser {
    /// As the page asks.
    pub async fn page(&mut self, method: Method, path: &str, body: &str) -> Got {
        self.ask(method, path, &[("x-tallyport-console", "1")], body).await
    }

    /// A link is followed.
    pub async fn open(&mut self, path: &str) -> Got {
        self.ask(Method::GET, path, &[], "").await
    }

    pub async fn ask(
        &mut self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
        body: &str,
    ) -> Got {
        let mut request = Request::builder().method(method).uri(path);
        if !fields.iter().any(|(name, _)| *name == HOST.as_str()) {
            request = request.header(HOST, "localhost:8443");
        }
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        if !self.cookies.is_empty() {
            let all: Vec<String> = self.cookies.iter().map(|(n, v)| format!("{n}={v}")).collect();
            request = request.header(COOKIE, all.join("; "));
        }
        let mut request = request.body(Body::from(body.to_owned())).unwrap();
        let extensions = request.extensions_mut();
        extensions.insert(ConnectInfo(SocketAddr::from(([192, 0, 2, 1], 4711))));
        extensions.insert(Front::Tcp);
        extensions.insert(TraceId::random());
        let (parts, body) = self.router.clone().oneshot(request).await.unwrap().into_parts();
        for set in parts.headers.get_all(SET_COOKIE) {
            let set = set.to_str().unwrap();
            let (name, value) = set.split(';').next().unwrap().split_once('=').unwrap();
            if set.contains("Max-Age=0") {
                self.cookies.remove(name);
            } else {
                self.cookies.insert(name.to_owned(), value.to_owned());
            }
        }
        let body = to_bytes(body, 1 << 24).await.unwrap().to_vec();
        Got { status: parts.status, headers: parts.headers, body }
    }

    /// Where the issuer is asked to sign somebody in.
    pub async fn begin(&mut self, back: &str) -> Url {
        let back: String = url::form_urlencoded::byte_serialize(back.as_bytes()).collect();
        let got = self.open(&format!("/console/sign-in?provider=dev&return={back}")).await;
        assert_eq!(got.status, StatusCode::SEE_OTHER);
        Url::parse(got.location()).unwrap()
    }

    /// The whole way.
    pub async fn sign_in(&mut self, person: &str) -> Got {
        let asked = self.begin("#/approvals").await;
        let back = answer(&asked, person).await;
        self.open(&back).await
    }
}

/// What a person does at the issuer; the path and query that the browser is sent back with.
pub async fn answer(asked: &Url, person: &str) -> String {
    let wanted = [
        "response_type",
        "client_id",
        "redirect_uri",
        "state",
        "code_challenge",
        "code_challenge_method",
    ];
    let mut form: Vec<(String, String)> = asked
        .query_pairs()
        .filter(|(name, _)| wanted.contains(&name.as_ref()))
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    form.push(("person".to_owned(), person.to_owned()));
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let mut at = asked.clone();
    at.set_query(None);
    let answer = http.build().unwrap().post(at).form(&form).send().await.unwrap();
    let back = answer.headers().get("location").unwrap().to_str().unwrap();
    let back = Url::parse(back).unwrap();
    format!("{}?{}", back.path(), back.query().unwrap())
}

//! HTTP to an MCP server (transport "Streamable HTTP"), with the gateway's credential and nothing of the client's.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use gateway_core::mcp::{Events, MODERN_REVISION};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, Response};
use serde_json::Value;
use tallyport_access::strict_object;
use url::Url;

use crate::config::{Credential, CredentialError, McpServer};

/// What one message of a server may have.
const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const MAX_IDLE: Duration = Duration::from_secs(4);
const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const REVISION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The longest id of a session that is taken.
const MAX_SESSION_BYTES: usize = 1024;

/// The way to one server.
#[derive(Debug)]
pub(super) struct Wire {
    client: Client,
    url: Url,
    token: Option<Credential>,
    headers: Vec<(HeaderName, Credential)>,
}

/// A session of a revision that has them.
#[derive(Clone, Debug)]
pub(super) struct WireSession {
    /// As the server gave it, where it gave one.
    pub(super) id: Option<String>,
    pub(super) revision: String,
}

/// How a message is sent.
#[derive(Clone, Debug)]
pub(super) enum Manner {
    /// By the revision without sessions, with these fields.
    Modern(Vec<(String, String)>),
    /// The first of a session.
    Begins,
    /// Within one.
    Within(WireSession),
}

/// A server gives no answer that can be used. Nothing of it is told to clients but that.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error("it answers with HTTP status {0}")]
    Status(u16),
    #[error("it does not take the gateway's credential (HTTP status {0})")]
    NotLetIn(u16),
    #[error("it knows no such session")]
    NoSession,
    #[error("what it sends is no message: {0}")]
    NoMessage(&'static str),
    #[error("it sends a message of more than {MAX_MESSAGE_BYTES} bytes")]
    TooLarge,
    #[error("its stream ended before its answer")]
    Cut,
    #[error("it took longer than it may")]
    Late,
}

/// What a server answers, message by message.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) status: u16,
    /// The session that it began.
    pub(super) session: Option<String>,
    response: Response,
    form: Form,
    ready: VecDeque<Value>,
}

#[derive(Debug)]
enum Form {
    /// One message, or none.
    Whole,
    Events(Events),
    Over,
}

impl Wire {
    pub(super) fn new(server: &McpServer) -> Result<Self, WireSetup> {
        let roots = server.ca.as_ref().map(|ca| {
            let unreadable =
                |source: std::io::Error| WireSetup(format!("{}: {source}", ca.display()));
            let pem = std::fs::read(ca).map_err(unreadable)?;
            let broken = |error: reqwest::Error| WireSetup(format!("{}: {error}", ca.display()));
            Certificate::from_pem_bundle(&pem).map_err(broken)
        });
        let roots = roots.transpose()?;
        let builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            // Common servers close what is idle for five seconds.
            .pool_idle_timeout(MAX_IDLE)
            .user_agent(concat!("tallyport/", env!("CARGO_PKG_VERSION")));
        let builder = match (roots, server.url.scheme()) {
            (Some(roots), _) => builder.tls_certs_only(roots),
            (None, "http") => builder.tls_certs_only([]),
            (None, _) => builder,
        };
        let client = builder.build().map_err(|error| WireSetup(error.to_string()))?;
        let (url, token, headers) =
            (server.url.clone(), server.token.clone(), server.headers.clone());
        Ok(Self { client, url, token, headers })
    }

    /// Sends a message.
    ///
    /// # Cancel safety
    /// A dropped call closes the stream, which is how a client cancels where there are no sessions.
    pub(super) async fn post(&self, message: Bytes, manner: &Manner) -> Result<Answers, WireError> {
        self.send(Method::POST, Some(message), manner).await
    }

    /// Listens to what a server says within a session that answers nothing.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn listen(&self, session: &WireSession) -> Result<Answers, WireError> {
        self.send(Method::GET, None, &Manner::Within(session.clone())).await
    }

    /// Ends a session.
    ///
    /// # Cancel safety
    /// A dropped call may have ended it.
    pub(super) async fn end(&self, session: &WireSession) -> Result<(), WireError> {
        self.send(Method::DELETE, None, &Manner::Within(session.clone())).await.map(|_ended| ())
    }

    async fn send(
        &self,
        method: Method,
        message: Option<Bytes>,
        manner: &Manner,
    ) -> Result<Answers, WireError> {
        let mut request = self.client.request(method.clone(), self.url.clone());
        let accepted = match method {
            Method::GET => "text/event-stream",
            _ => "application/json, text/event-stream",
        };
        request = request.header(ACCEPT, accepted);
        if let Some(message) = message {
            request = request.header(CONTENT_TYPE, "application/json").body(message);
        }
        match manner {
            Manner::Modern(fields) => {
                for (name, value) in fields {
                    request = request.header(name, value);
                }
            }
            Manner::Begins => {}
            Manner::Within(session) => {
                request = request.header(REVISION, &session.revision);
                if let Some(id) = &session.id {
                    request = request.header(SESSION, id);
                }
            }
        }
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, secret(token, "Bearer ").await?);
        }
        for (name, credential) in &self.headers {
            request = request.header(name, secret(credential, "").await?);
        }
        let response = request.send().await.map_err(|error| unreachable(&error))?;
        self.read(response, manner)
    }

    fn read(&self, response: Response, manner: &Manner) -> Result<Answers, WireError> {
        let status = response.status().as_u16();
        let media = response
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|it| it.to_str().ok())
            .unwrap_or_default();
        let media = media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let is_json = media == "application/json";
        match (status, manner) {
            (401 | 403, _) => {
                // It may have been changed since it was kept.
                self.token
                    .iter()
                    .chain(self.headers.iter().map(|(_, it)| it))
                    .for_each(Credential::forget);
                return Err(WireError::NotLetIn(status));
            }
            (404, Manner::Within(_)) => return Err(WireError::NoSession),
            // Errors of the protocol are told with these; whatever else is, HTTP's are not for clients.
            (200 | 202 | 204, _) => {}
            (400 | 404, _) if is_json => {}
            _ => return Err(WireError::Status(status)),
        }
        let session = response.headers().get(SESSION).and_then(|it| it.to_str().ok());
        let session = session.filter(|it| it.len() <= MAX_SESSION_BYTES).map(str::to_owned);
        let form = match media.as_str() {
            "text/event-stream" if status == 200 => Form::Events(Events::new(MAX_MESSAGE_BYTES)),
            // What was taken has no answer, whatever its type is said to be.
            _ if matches!(status, 202 | 204) => Form::Over,
            _ if is_json => Form::Whole,
            // What ends a session may say nothing.
            _ if response.content_length() == Some(0) => Form::Over,
            _ => return Err(WireError::NoMessage("neither JSON nor a stream of events")),
        };
        Ok(Answers { status, session, response, form, ready: VecDeque::new() })
    }
}

/// The way to a server cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WireSetup(String);

impl Answers {
    /// The next message; none where there are no more.
    ///
    /// # Cancel safety
    /// Cancel safe where it is asked again.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, WireError> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                return Ok(Some(message));
            }
            match &mut self.form {
                Form::Over => return Ok(None),
                Form::Whole => {
                    let mut whole = Vec::new();
                    while let Some(part) =
                        self.response.chunk().await.map_err(|it| unreachable(&it))?
                    {
                        if whole.len() + part.len() > MAX_MESSAGE_BYTES {
                            return Err(WireError::TooLarge);
                        }
                        whole.extend_from_slice(&part);
                    }
                    self.form = Form::Over;
                    return message(&whole).map(Some);
                }
                Form::Events(events) => {
                    match self.response.chunk().await.map_err(|it| unreachable(&it))? {
                        None => {
                            self.form = Form::Over;
                            return Ok(None);
                        }
                        Some(part) => {
                            for event in events.feed(&part).map_err(|_| WireError::TooLarge)? {
                                // An event without data primes a client for what the gateway does not offer.
                                if !event.is_empty() {
                                    self.ready.push_back(message(&event)?);
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// One object, in which no name stands twice: two readers must not see two answers.
fn message(bytes: &[u8]) -> Result<Value, WireError> {
    let message = strict_object(bytes)
        .ok_or(WireError::NoMessage("not one object, or a name stands twice"))?;
    if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return Err(WireError::NoMessage("no \"jsonrpc\": \"2.0\""));
    }
    Ok(Value::Object(message))
}

async fn secret(credential: &Credential, scheme: &str) -> Result<HeaderValue, WireError> {
    let _ran = credential.refresh().await?;
    let secret = credential.read()?;
    let shown = zeroize::Zeroizing::new(format!("{scheme}{}", secret.expose()));
    let mut value = HeaderValue::from_str(&shown)
        .map_err(|_| WireError::Unreachable("its credential is no text for a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

fn unreachable(error: &reqwest::Error) -> WireError {
    let mut reason = String::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        reason = cause.to_string();
        next = cause.source();
    }
    WireError::Unreachable(reason)
}

impl Manner {
    pub(super) fn modern(
        fields: Vec<(&'static str, String)>,
        of_arguments: Vec<(String, String)>,
    ) -> Self {
        let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
        Self::Modern(fields.chain(of_arguments).collect())
    }
}

impl WireSession {
    /// As the answer to `initialize` has it.
    pub(super) fn begun(id: Option<String>, result: &Value) -> Self {
        let revision = result.get("protocolVersion").and_then(Value::as_str);
        let revision =
            revision.filter(|it| *it != MODERN_REVISION && it.len() <= 16).unwrap_or("2025-11-25");
        Self { id, revision: revision.to_owned() }
    }
}

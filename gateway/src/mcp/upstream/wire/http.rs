//! HTTP to an MCP server (transport "Streamable HTTP"), with the gateway's credential and nothing of the client's.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway_core::mcp::Events;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method};
use reqwest::Response;
use serde_json::Value;
use tallyport_access::with_causes;

use super::{MAX_MESSAGE_BYTES, Manner, WireError, WireSession, WireSetup, message};
use crate::config::{Credential, McpEndpoint, Secret};
use crate::outgoing::{FollowedClient, Made, Secrets, Tokens};

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const REVISION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// The longest id of a session that is taken.
const MAX_SESSION_BYTES: usize = 1024;
/// The event after which a stream is to go on (transports, "Resumability and Redelivery").
const LAST_EVENT: HeaderName = HeaderName::from_static("last-event-id");
/// How long is waited before a stream is asked to go on, where the server does not say, and at least, and at most.
const WAIT: Duration = Duration::from_secs(1);
const MIN_WAIT: Duration = Duration::from_millis(100);
const MAX_WAIT: Duration = Duration::from_secs(60);

/// The way to one server. Cheap to clone.
#[derive(Clone, Debug)]
pub(in crate::mcp::upstream) struct Http(Arc<Reach>);

#[derive(Debug)]
struct Reach {
    client: FollowedClient,
    endpoint: McpEndpoint,
    tokens: Option<Tokens>,
}

/// What a server answers, message by message.
#[derive(Debug)]
pub(in crate::mcp::upstream) struct HttpAnswers {
    pub(super) status: u16,
    /// The session that it began.
    pub(super) session: Option<String>,
    response: Response,
    form: Form,
    ready: VecDeque<Value>,
    /// What it was shown, and must not say again.
    shown: Secrets,
    /// By whom an answer within a session is asked to go on, where its stream ends before it.
    goes_on: Option<(Http, WireSession)>,
}

#[derive(Debug)]
enum Form {
    /// One message, or none.
    Whole,
    Events(Events),
    Over,
}

impl Http {
    pub(super) fn new(endpoint: &McpEndpoint) -> Result<Self, WireSetup> {
        let (url, roots) = (endpoint.url.clone(), endpoint.ca.clone());
        let client = FollowedClient::new(Made { url, roots, own: None, http1: false });
        let client = client.map_err(WireSetup)?;
        let tokens = endpoint.oauth2.clone().map(Tokens::new).transpose().map_err(WireSetup)?;
        Ok(Self(Arc::new(Reach { client, endpoint: endpoint.clone(), tokens })))
    }

    /// Sends a message.
    ///
    /// # Cancel safety
    /// A dropped call closes the stream, which is how a client cancels where there are no sessions.
    pub(super) async fn post(
        &self,
        message: Bytes,
        manner: &Manner,
    ) -> Result<HttpAnswers, WireError> {
        let mut answers = self.0.send(Method::POST, Some(message), manner, None).await?;
        if let Manner::Within(session) = manner {
            answers.goes_on = Some((self.clone(), session.clone()));
        }
        Ok(answers)
    }

    /// Listens to what a server says within a session that answers nothing.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn listen(&self, session: &WireSession) -> Result<HttpAnswers, WireError> {
        self.0.send(Method::GET, None, &Manner::Within(session.clone()), None).await
    }

    /// Ends a session.
    ///
    /// # Cancel safety
    /// A dropped call may have ended it.
    pub(super) async fn end(&self, session: &WireSession) -> Result<(), WireError> {
        let within = Manner::Within(session.clone());
        self.0.send(Method::DELETE, None, &within, None).await.map(|_ended| ())
    }
}

impl Reach {
    async fn send(
        &self,
        method: Method,
        message: Option<Bytes>,
        manner: &Manner,
        after: Option<&str>,
    ) -> Result<HttpAnswers, WireError> {
        let mut request = self.client.get().request(method.clone(), self.endpoint.url.clone());
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
        if let Some(event) = after {
            request = request.header(LAST_EVENT, event);
        }
        let mut shown = Secrets::default();
        for (name, value) in self.shows(&mut shown).await? {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(broken)?;
        self.read(response, manner, shown).await
    }

    /// The gateway's credentials for it.
    async fn shows(
        &self,
        shown: &mut Secrets,
    ) -> Result<Vec<(HeaderName, HeaderValue)>, WireError> {
        let McpEndpoint { token, headers, .. } = &self.endpoint;
        let mut fields = Vec::new();
        if let Some(token) = token {
            let token = token.current().await?;
            fields.push((AUTHORIZATION, secret("Bearer ", token.expose())?));
            shown.add(&token);
        }
        if let Some(tokens) = &self.tokens {
            let token = Secret::new(tokens.token().await?.expose().to_owned());
            fields.push((AUTHORIZATION, secret("Bearer ", token.expose())?));
            shown.add(&token);
        }
        for (name, credential) in headers {
            let value = credential.current().await?;
            fields.push((name.clone(), secret("", value.expose())?));
            shown.add_field(&value);
        }
        Ok(fields)
    }

    async fn read(
        &self,
        response: Response,
        manner: &Manner,
        shown: Secrets,
    ) -> Result<HttpAnswers, WireError> {
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
                let McpEndpoint { token, headers, .. } = &self.endpoint;
                let all = token.iter().chain(headers.iter().map(|(_, it)| it));
                all.for_each(Credential::forget);
                if let Some(tokens) = &self.tokens {
                    tokens.forget().await;
                }
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
        Ok(HttpAnswers {
            status,
            session,
            response,
            form,
            ready: VecDeque::new(),
            shown,
            goes_on: None,
        })
    }
}

impl HttpAnswers {
    /// The next message; none where there are no more.
    ///
    /// # Cancel safety
    /// Cancel safe where it is asked again.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, WireError> {
        loop {
            if let Some(mut message) = self.ready.pop_front() {
                self.shown.hide(&mut message);
                return Ok(Some(message));
            }
            match &mut self.form {
                Form::Over => return Ok(None),
                Form::Whole => {
                    let mut whole = Vec::new();
                    while let Some(part) = self.response.chunk().await.map_err(broken)? {
                        if whole.len() + part.len() > MAX_MESSAGE_BYTES {
                            return Err(WireError::TooLarge);
                        }
                        whole.extend_from_slice(&part);
                    }
                    self.form = Form::Over;
                    self.ready.push_back(message(&whole)?);
                }
                Form::Events(events) => {
                    match self.response.chunk().await.map_err(broken)? {
                        None => {
                            if !self.go_on().await? {
                                self.form = Form::Over;
                                return Ok(None);
                            }
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

    /// Asks for what comes after the last event, once as much time has passed as the server wants. Whether there is more to come: a
    /// server that gives its events no names, or has no sessions, has said all that it says.
    async fn go_on(&mut self) -> Result<bool, WireError> {
        let (Form::Events(events), Some((http, session))) = (&self.form, &self.goes_on) else {
            return Ok(false);
        };
        let Some(last) = events.last_id().map(str::to_owned) else { return Ok(false) };
        tokio::time::sleep(events.retry().unwrap_or(WAIT).clamp(MIN_WAIT, MAX_WAIT)).await;
        let within = Manner::Within(session.clone());
        // The call was delivered: that the rest of its answer cannot be had says nothing of what it did.
        let more = http.0.send(Method::GET, None, &within, Some(&last)).await.map_err(|error| {
            tracing::debug!(%error, "the rest of an answer cannot be had");
            WireError::Cut
        })?;
        let Form::Events(mut rest) = more.form else { return Ok(false) };
        rest.begin_after(events);
        self.shown.extend(more.shown);
        (self.response, self.form) = (more.response, Form::Events(rest));
        Ok(true)
    }
}

fn secret(scheme: &str, secret: &str) -> Result<HeaderValue, WireError> {
    let shown = zeroize::Zeroizing::new(format!("{scheme}{secret}"));
    let mut value = HeaderValue::from_str(&shown)
        .map_err(|_| WireError::Unreachable("its credential is no text for a header".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// What nobody took is asked again without harm; of what went on its way it is not known whether it was done.
fn broken(error: reqwest::Error) -> WireError {
    let never_went = error.is_connect() || error.is_builder();
    let why = with_causes(&error.without_url());
    if never_went { WireError::Unreachable(why) } else { WireError::Broken(why) }
}

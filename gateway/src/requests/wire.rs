//! The way to one target. It gets what is on record, and the gateway's credential; of whoever asked it gets nothing.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use gateway_core::http::{Fields, field};
use gateway_core::passage::Authorized;
use gateway_core::passage::request::{Inputs, Outgoing, Wanted, to_service, to_streams};
use http::header::{
    ACCEPT_ENCODING, CONNECTION, CONTENT_LENGTH, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use reqwest::Response;
use tallyport_access::with_causes;
use tallyport_eventlog::Durable;
use tallyport_schemas::{CommandId, Finding, FindingAction};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use url::Url;

use super::credentials::Credentials;
use crate::config::RequestTarget;
use crate::outgoing::{Echo, FollowedClient, Made, Secrets};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest value of a field that an answer may have, and the most fields.
const MAX_FIELD_BYTES: usize = 8 * 1024;
const MAX_FIELDS: usize = 256;

/// The way to one target.
#[derive(Debug)]
pub(super) struct Wire {
    client: FollowedClient,
    /// Without a slash at its end.
    base: String,
    host: (String, u16),
    credentials: Credentials,
}

/// A target gives no answer. Nothing of it is told to agents but that.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("its credential cannot be had: {0}")]
    Credential(String),
    #[error("it does not take the gateway's credential (HTTP status 401)")]
    NotLetIn,
    #[error("its answer has more fields, or longer ones, than may be")]
    Fields,
    #[error("its answer broke off: {0}")]
    Cut(String),
    #[error("it took longer than it may")]
    Late,
}

impl WireError {
    /// Whether the target may have done what was asked.
    pub(super) const fn may_have_arrived(&self) -> bool {
        match self {
            Self::Fields | Self::Cut(_) | Self::Late => true,
            Self::Unreachable(_) | Self::Credential(_) | Self::NotLetIn => false,
        }
    }
}

/// The way to a target cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct WireSetup(String);

/// What a request for streams became.
pub(super) enum Opened {
    /// Streams, in this subprotocol.
    Streams { protocol: String, io: Box<reqwest::Upgraded> },
    /// An answer that says why not.
    Refused(Begun),
}

/// An answer that has begun.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) status: u16,
    pub(super) fields: Fields,
    response: Response,
    /// What it was shown, and must not say again.
    echo: Echo,
}

impl Wire {
    pub(super) fn new(target: &RequestTarget) -> Result<Self, WireSetup> {
        let client = FollowedClient::new(Made {
            url: target.url.clone(),
            roots: target.ca.clone(),
            own: target.client.clone(),
            http1: target.http1,
        });
        let client = client.map_err(WireSetup)?;
        let url = &target.url;
        let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        let host = (host, url.port_or_known_default().unwrap_or(443));
        let base = url.as_str().trim_end_matches('/').to_owned();
        let credentials = Credentials::new(target.shown.clone()).map_err(WireSetup)?;
        Ok(Self { client, base, host, credentials })
    }

    /// Whether something listens where the target is.
    pub(super) async fn reach(&self) -> Result<(), WireError> {
        let (host, port) = &self.host;
        let connect = TcpStream::connect((host.as_str(), *port));
        let connected = timeout(CONNECT_TIMEOUT, connect).await.map_err(|_| WireError::Late)?;
        connected.map(|_| ()).map_err(|error| WireError::Unreachable(error.to_string()))
    }

    /// Sends a request, and waits until its answer begins.
    ///
    /// # Cancel safety
    /// A dropped call closes the stream; the target may have done what was asked.
    pub(super) async fn send(
        &self,
        request: Durable<Authorized<Wanted>>,
    ) -> Result<Begun, WireError> {
        let shown = self.credentials.fields().await?;
        let begun = self.begin(to_service(request), shown).await?;
        if begun.status < 200 {
            return Err(WireError::Cut(
                "it switches to a protocol that nobody asked for".to_owned(),
            ));
        }
        Ok(begun)
    }

    /// Sends a request that is to become a connection of streams by WebSocket (RFC 6455 section 4.1), in one of `protocols`.
    ///
    /// # Cancel safety
    /// As [`Self::send`].
    pub(super) async fn open(
        &self,
        request: Durable<Authorized<Wanted>>,
        command_id: CommandId,
        protocols: &str,
    ) -> Result<(Opened, Inputs), WireError> {
        let (mut shown, secrets) = self.credentials.fields().await?;
        let (outgoing, inputs) = to_streams(request, command_id);
        let key = STANDARD.encode(rand::random::<[u8; 16]>());
        let no_text = |_| WireError::Unreachable("a field of the request is no text".to_owned());
        shown.extend([
            (CONNECTION, HeaderValue::from_static("Upgrade")),
            (UPGRADE, HeaderValue::from_static("websocket")),
            (SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13")),
            (SEC_WEBSOCKET_KEY, HeaderValue::from_str(&key).map_err(no_text)?),
            (SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_str(protocols).map_err(no_text)?),
        ]);
        let begun = self.begin(outgoing, (shown, secrets)).await?;
        if begun.status != 101 {
            return Ok((Opened::Refused(begun), inputs));
        }
        let accepted = field(&begun.fields, "sec-websocket-accept");
        if accepted != Some(derive_accept_key(key.as_bytes()).as_str()) {
            return Err(WireError::Cut(
                "it accepts no WebSocket (RFC 6455 section 4.1)".to_owned(),
            ));
        }
        let chosen = field(&begun.fields, "sec-websocket-protocol").unwrap_or_default().to_owned();
        if !protocols.split(',').any(|it| it.trim() == chosen) {
            return Err(WireError::Cut(
                "it speaks none of the subprotocols that were asked for".to_owned(),
            ));
        }
        let io = begun.response.upgrade().await.map_err(cut)?;
        Ok((Opened::Streams { protocol: chosen, io: Box::new(io) }, inputs))
    }

    async fn begin(
        &self,
        outgoing: Outgoing,
        (fields, secrets): (Vec<(HeaderName, HeaderValue)>, Secrets),
    ) -> Result<Begun, WireError> {
        let Outgoing { method, target, fields: given, body } = outgoing;
        let unreachable = |what: &str| WireError::Unreachable(format!("the request has {what}"));
        let url =
            Url::parse(&format!("{}{target}", self.base)).map_err(|_| unreachable("no URL"))?;
        let method = Method::from_bytes(method.as_bytes()).map_err(|_| unreachable("no method"))?;
        let mut request =
            self.client.get().request(method, url).header(ACCEPT_ENCODING, "identity");
        for (name, value) in given {
            request = request.header(name, value);
        }
        for (name, value) in fields {
            request = request.header(name, value);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_LENGTH, HeaderValue::from(body.len())).body(body);
        }
        let response = request.send().await.map_err(unanswered)?;
        if response.status() == http::StatusCode::UNAUTHORIZED {
            self.credentials.forget().await;
            return Err(WireError::NotLetIn);
        }
        let mut echo = Echo::of(&secrets);
        let fields = fields_of(response.headers(), &mut echo)?;
        Ok(Begun { status: response.status().as_u16(), fields, response, echo })
    }
}

impl Begun {
    /// The next of the body; none where there is no more.
    ///
    /// # Cancel safety
    /// Cancel safe.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, WireError> {
        loop {
            let passed = match self.response.chunk().await.map_err(cut)? {
                Some(bytes) => self.echo.pass(bytes),
                None => {
                    let rest = self.echo.finish();
                    return Ok((!rest.is_empty()).then_some(rest));
                }
            };
            if !passed.is_empty() {
                return Ok(Some(passed));
            }
        }
    }

    /// That the gateway's credential was taken out of it, and how often.
    pub(super) fn echoed(&self) -> Option<Finding> {
        let count = self.echo.found();
        let detector = "gateway_credential".to_owned();
        (count > 0).then_some(Finding { detector, action: FindingAction::Mask, count })
    }
}

/// Those that are text; of others nothing could be hidden.
fn fields_of(headers: &HeaderMap, echo: &mut Echo) -> Result<Fields, WireError> {
    if headers.len() > MAX_FIELDS {
        return Err(WireError::Fields);
    }
    let mut fields = Fields::with_capacity(headers.len());
    for (name, value) in headers {
        let Ok(value) = value.to_str() else { continue };
        if value.len() > MAX_FIELD_BYTES {
            return Err(WireError::Fields);
        }
        fields.push((name.as_str().to_owned(), echo.text(value)));
    }
    Ok(fields)
}

/// A request that was not answered: once there was a connection, it may have come, and what it asks for may have been done.
fn unanswered(error: reqwest::Error) -> WireError {
    if error.is_connect() || error.is_builder() {
        WireError::Unreachable(with_causes(&error.without_url()))
    } else {
        cut(error)
    }
}

fn cut(error: reqwest::Error) -> WireError {
    WireError::Cut(with_causes(&error.without_url()))
}

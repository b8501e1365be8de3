//! The way to an MCP server, by HTTP or as a child, with the gateway's credential and nothing of the client's. A request does not
//! know which of both it is.

mod alias;
mod child;
mod children;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod http;
mod lines;
mod process;

use std::sync::Arc;

use bytes::Bytes;
use gateway_core::mcp::{Id, MODERN_REVISION};
use serde_json::{Map, Value};
use tallyport_access::strict_object;

pub(super) use alias::Alias;
use child::ChildAnswers;
use children::Children;
use http::{Http, HttpAnswers};

use super::running::Method;
use crate::config::{CredentialError, McpServer, McpWay};
use crate::gate::Asker;
use crate::inside::{Who, who};
use crate::outgoing::NoToken;
use crate::service::Caller;

/// What one message of a server may have.
const MAX_MESSAGE_BYTES: usize = 8 * 1024 * 1024;

/// The way to one server.
#[derive(Debug)]
pub(super) enum Wire {
    Http(Http),
    Child(Arc<Children>),
}

/// For whom something is asked: a process of a server is one's alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    /// For the gateway itself.
    Gateway,
    /// For somebody.
    Of(Who, Asker),
}

/// A session of a revision that has them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WireSession {
    /// As the server gave it, where it gave one; of a child, which one it is.
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
    #[error("the connection broke before its answer: {0}")]
    Broken(String),
    #[error(transparent)]
    Credential(#[from] CredentialError),
    #[error(transparent)]
    Token(#[from] NoToken),
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
    #[error("its process ended before its answer")]
    Died,
    #[error("its process ended again and again; it is started again in {0} s at the earliest")]
    Rests(u64),
    #[error("as many of its processes run as may be")]
    Full,
    #[error("it took longer than it may")]
    Late,
}

/// The way to a server cannot be made.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct WireSetup(String);

/// What a server answers, message by message.
#[derive(Debug)]
pub(super) enum Answers {
    Http(Box<HttpAnswers>),
    Child(ChildAnswers),
}

impl Wire {
    pub(super) fn new(server: &McpServer) -> Result<Self, WireSetup> {
        Ok(match &server.way {
            McpWay::Http(endpoint) => Self::Http(Http::new(endpoint)?),
            McpWay::Child(process) => {
                Self::Child(Children::new(server.name(), process.clone(), server.timeout))
            }
        })
    }

    /// Sends a message for somebody; gives what the answer to the request of this id comes by, where there is one.
    ///
    /// # Cancel safety
    /// A dropped call, or answer, closes the stream of HTTP, which is how a client cancels where there are no sessions. Of a
    /// child, nothing more is heard; it is told by a message of its own ([`Self::wants_to_be_told`]).
    pub(super) async fn send(
        &self,
        bytes: Bytes,
        method: Method<'_>,
        (scope, id): (&Scope, Option<&Id>),
    ) -> Result<Option<Answers>, WireError> {
        match self {
            Self::Http(http) => Ok(match method {
                Method::Post(manner) => Some(http.post(bytes, manner).await?),
                Method::Listen(session) => Some(http.listen(session).await?),
                Method::End(session) => http.end(session).await.map(|()| None)?,
            }
            .map(Box::new)
            .map(Answers::Http)),
            Self::Child(children) => Ok(match method {
                Method::Post(manner) => Some(children.post(bytes, manner, (scope, id)).await?),
                Method::Listen(session) => Some(children.listen(session)?),
                Method::End(session) => {
                    children.end(session);
                    None
                }
            }
            .map(Answers::Child)),
        }
    }

    /// Whether a server goes on with what nobody waits for any more, unless it is told.
    pub(super) fn wants_to_be_told(&self, in_session: bool, late: bool) -> bool {
        match self {
            Self::Http(_) => in_session && !late,
            Self::Child(_) => true,
        }
    }

    pub(super) const fn is_child(&self) -> bool {
        matches!(self, Self::Child(_))
    }

    /// Whether a session is there still, as far as that is known without asking.
    pub(super) fn has(&self, session: &WireSession) -> bool {
        match self {
            Self::Http(_) => true,
            Self::Child(children) => children.has(session),
        }
    }

    /// The session that is kept for what somebody asks without one.
    pub(super) fn kept(&self, scope: &Scope) -> Option<WireSession> {
        match self {
            Self::Http(_) => None,
            Self::Child(children) => children.kept(scope),
        }
    }

    /// Keeps one for that. Whether it did: there may be one already.
    pub(super) fn keep(&self, scope: &Scope, session: &WireSession) -> bool {
        match self {
            Self::Http(_) => false,
            Self::Child(children) => children.keep(scope, session),
        }
    }

    /// The gateway itself asks no more for now.
    pub(super) fn rest(&self) {
        if let Self::Child(children) = self {
            children.end_all_of(&Scope::Gateway);
        }
    }

    /// Ends what runs for it, and starts nothing more.
    ///
    /// # Cancel safety
    /// Cancel safe: what is asked to end goes on to do so.
    pub(super) async fn stop(&self) {
        if let Self::Child(children) = self {
            children.stop().await;
        }
    }

    /// What a client's request is called at the server. `params` say then what notifications of its progress are to name.
    pub(super) fn alias(&self, id: &Id, params: &mut Map<String, Value>) -> Alias {
        match self {
            Self::Http(_) => Alias::same(id.clone()),
            Self::Child(children) => Alias::new(children.next_number(), id.clone(), params),
        }
    }
}

impl Answers {
    pub(super) const fn status(&self) -> u16 {
        match self {
            Self::Http(http) => http.status,
            Self::Child(child) => child.status(),
        }
    }

    /// The session that the server began.
    pub(super) fn session(&mut self) -> Option<String> {
        match self {
            Self::Http(http) => http.session.take(),
            Self::Child(child) => child.session.take(),
        }
    }

    /// The next message; none where there are no more.
    ///
    /// # Cancel safety
    /// Cancel safe where it is asked again.
    pub(super) async fn next(&mut self) -> Result<Option<Value>, WireError> {
        match self {
            Self::Http(http) => http.next().await,
            Self::Child(child) => child.next().await,
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

impl Scope {
    pub(super) fn of(caller: &Caller) -> Self {
        let principal = &caller.identity().principal;
        Self::Of(who(caller), (principal.issuer.clone(), principal.subject.clone()))
    }

    /// Whose processes count together.
    const fn principal(&self) -> Option<&Asker> {
        match self {
            Self::Gateway => None,
            Self::Of(_, principal) => Some(principal),
        }
    }
}

impl WireError {
    /// One of a closed list, for what counts them.
    pub(super) const fn code(&self) -> Option<&'static str> {
        Some(match self {
            Self::Unreachable(_) | Self::Broken(_) | Self::Cut => "unreachable",
            Self::Credential(_) | Self::Token(_) | Self::NotLetIn(_) => "credential",
            Self::Status(_) | Self::NoMessage(_) | Self::TooLarge => "protocol",
            Self::Died | Self::Rests(_) | Self::Full => "process",
            Self::Late => "timed_out",
            // Sessions end.
            Self::NoSession => return None,
        })
    }

    /// Whether something failed, and no bound or end that is as it should be was reached.
    pub(super) const fn is_failure(&self) -> bool {
        !matches!(self, Self::NoSession | Self::Full | Self::Rests(_))
    }

    /// Whether it says that the server does badly, so that it is left alone, by everybody. Of what the gateway asks by itself
    /// each failure says so; of what somebody else asks none that their question may have brought about.
    pub(super) const fn is_of_server(&self, scope: &Scope) -> bool {
        match self {
            Self::Unreachable(_)
            | Self::Broken(_)
            | Self::Credential(_)
            | Self::Token(_)
            | Self::NotLetIn(401) => true,
            _ => matches!(scope, Scope::Gateway) && self.is_failure(),
        }
    }

    /// What whoever asked is told: nothing of the server but that it failed.
    pub(super) fn told(&self, name: &str) -> String {
        match self {
            Self::NoSession => "the server has ended the session; send initialize".to_owned(),
            Self::Late => {
                format!("the server {name} took longer than it may; whether it did it is not known")
            }
            Self::Full => format!(
                "as many processes of the server {name} run as may be; end a session with it, or try again in a minute"
            ),
            Self::Unreachable(_)
            | Self::Credential(_)
            | Self::Token(_)
            | Self::NotLetIn(_)
            | Self::Rests(_)
            | Self::Status(_) => {
                format!("the server {name} cannot be used now; try again later")
            }
            Self::Broken(_) => format!(
                "the connection to the server {name} broke before its answer; whether it did what was asked is not known"
            ),
            Self::Died => format!(
                "the process of the server {name} ended before its answer; whether it did what was asked is not known. The next \
                 call starts it anew"
            ),
            Self::NoMessage(_) | Self::TooLarge | Self::Cut => format!(
                "the answer of the server {name} cannot be used; whether it did what was asked is not known"
            ),
        }
    }
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

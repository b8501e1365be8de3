//! The answer of a call: JSON where it is there soon, else a stream of events that shows life until it is.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use gateway_core::mcp::reply;
use gateway_core::mcp::{Era, Id, RpcError};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::form;
use super::post::failed;
use super::waiting::Awaited;

const PACE: Pace = Pace { soon: Duration::from_millis(500), sign_of_life: Duration::from_secs(5) };
const COMMENT: &[u8] = b":\n\n";
/// nginx would keep events until it has a buffer full of them.
const NO_BUFFERING: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

/// What a call gives.
#[derive(Debug)]
pub(super) enum Answered {
    /// A result, to be put into words.
    Result(Map<String, Value>),
    /// The same, which says that the call waits for these; the same call finds them.
    Waits(Map<String, Value>, Vec<Awaited>),
    /// A whole message, and the HTTP status that it is answered with where it is not one of a stream.
    Message(StatusCode, Bytes),
}

type Outcome = Result<Answered, RpcError>;

impl From<Map<String, Value>> for Answered {
    fn from(result: Map<String, Value>) -> Self {
        Self::Result(result)
    }
}

impl Answered {
    fn message(self, id: &Id) -> Bytes {
        match self {
            Self::Result(result) | Self::Waits(result, _) => {
                reply::answer(id, result).to_string().into()
            }
            Self::Message(_, message) => message,
        }
    }

    /// As the whole body of a response.
    pub(super) fn response(self, id: &Id) -> Response {
        match self {
            Self::Result(result) | Self::Waits(result, _) => {
                form::json(StatusCode::OK, &reply::answer(id, result))
            }
            Self::Message(status, message) => form::json_text(status, message),
        }
    }
}

#[derive(Clone, Copy)]
struct Pace {
    /// How long a client waits for the head of an answer.
    soon: Duration,
    /// How often a stream shows life: what stands between ends one that is silent for longer.
    sign_of_life: Duration,
}

/// Answers with what `call` gives, after whatever it `told` before.
///
/// # Cancel safety
/// The call is dropped with this, and with the response.
pub(super) async fn answer<T: Into<Answered>>(
    call: impl Future<Output = Result<T, RpcError>> + Send + 'static,
    told: mpsc::Receiver<Bytes>,
    era: Era,
    id: &Id,
) -> Response {
    at_pace(PACE, call, told, (era, id)).await
}

async fn at_pace<T: Into<Answered>>(
    pace: Pace,
    call: impl Future<Output = Result<T, RpcError>> + Send + 'static,
    mut told: mpsc::Receiver<Bytes>,
    (era, id): (Era, &Id),
) -> Response {
    // A task of its own: a client that reads slowly does not keep what it asked for from coming to its end.
    let call = async { call.await.map(Into::into) }.in_current_span();
    let mut task = AbortOnDropHandle::new(tokio::spawn(call));
    let first = tokio::select! {
        biased;
        Some(first) = told.recv() => Some(first),
        outcome = &mut task => {
            return match whole(outcome) {
                Ok(answered) => answered.response(id),
                Err(error) => failed(&error, era, Some(id)),
            };
        }
        () = sleep(pace.soon) => None,
    };
    let sign_of_life = pace.sign_of_life;
    events(Waiting { task, told, first, id: Some(id.clone()), state: State::Tells, sign_of_life })
}

/// A stream of what is told, until `until` ends: it has no answer.
///
/// # Cancel safety
/// What it waits for is dropped with the response.
pub(super) fn stream(
    until: impl Future<Output = Result<(), RpcError>> + Send + 'static,
    told: mpsc::Receiver<Bytes>,
) -> Response {
    let until = async move { until.await.map(|()| Map::new().into()) }.in_current_span();
    let task = AbortOnDropHandle::new(tokio::spawn(until));
    let listening = Waiting {
        task,
        told,
        first: None,
        id: None,
        state: State::Tells,
        sign_of_life: PACE.sign_of_life,
    };
    events(listening)
}

fn events(waiting: Waiting) -> Response {
    let events = futures::stream::unfold(waiting, |mut waiting| async move {
        let event = waiting.next().await?;
        Some((Ok::<_, Infallible>(event), waiting))
    });
    let mut response = Response::new(Body::from_stream(events));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(NO_BUFFERING.0, NO_BUFFERING.1);
    response
}

/// Nothing of the call happened.
pub(super) fn too_many(era: Era, id: &Id) -> Response {
    let mut response = failed(&RpcError::too_many_calls(), era, Some(id));
    response.headers_mut().insert(RETRY_AFTER, RETRY_AFTER_SECONDS);
    response
}

/// A call whose answer is a stream.
struct Waiting {
    task: AbortOnDropHandle<Outcome>,
    told: mpsc::Receiver<Bytes>,
    first: Option<Bytes>,
    /// Of the answer; none where there will be none.
    id: Option<Id>,
    state: State,
    sign_of_life: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It may tell of its progress.
    Tells,
    /// It tells no more.
    Quiet,
    /// Its answer was given.
    Over,
}

impl Waiting {
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(first) = self.first.take() {
            return Some(reply::event(&first));
        }
        while self.state != State::Over {
            tokio::select! {
                // What was told before the answer goes out before it.
                biased;
                message = self.told.recv(), if self.state == State::Tells => match message {
                    Some(message) => return Some(reply::event(&message)),
                    None => self.state = State::Quiet,
                },
                outcome = &mut self.task => {
                    self.state = State::Over;
                    let id = self.id.as_ref()?;
                    let message = match whole(outcome) {
                        Ok(answered) => answered.message(id),
                        Err(error) => error.body(Some(id)).to_string().into(),
                    };
                    return Some(reply::event(&message));
                }
                () = sleep(self.sign_of_life) => return Some(Bytes::from_static(COMMENT)),
            }
        }
        None
    }
}

fn whole(outcome: Result<Outcome, tokio::task::JoinError>) -> Outcome {
    outcome.unwrap_or_else(|error| {
        tracing::error!(%error, "a tool did not come to its end");
        Err(RpcError::internal())
    })
}

#[cfg(test)]
mod tests;

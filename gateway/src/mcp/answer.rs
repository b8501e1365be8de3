//! The answer of a call: JSON where it is there soon, else a stream of events that shows life until it is.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::Response;
use futures::stream;
use gateway_core::mcp::reply;
use gateway_core::mcp::{Era, Id, RpcError};
use serde_json::{Map, Value};
use tokio::sync::mpsc;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;

use super::form;
use super::post::failed;

const PACE: Pace = Pace { soon: Duration::from_millis(500), sign_of_life: Duration::from_secs(5) };
const COMMENT: &[u8] = b":\n\n";
/// nginx would keep events until it has a buffer full of them.
const NO_BUFFERING: (HeaderName, HeaderValue) =
    (HeaderName::from_static("x-accel-buffering"), HeaderValue::from_static("no"));
const RETRY_AFTER_SECONDS: HeaderValue = HeaderValue::from_static("1");

type Outcome = Result<Map<String, Value>, RpcError>;

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
pub(super) async fn answer(
    call: impl Future<Output = Outcome> + Send + 'static,
    told: mpsc::Receiver<Value>,
    era: Era,
    id: &Id,
) -> Response {
    at_pace(PACE, call, told, (era, id)).await
}

async fn at_pace(
    pace: Pace,
    call: impl Future<Output = Outcome> + Send + 'static,
    mut told: mpsc::Receiver<Value>,
    (era, id): (Era, &Id),
) -> Response {
    // A task of its own: a client that reads slowly does not keep what it asked for from coming to its end.
    let mut task = AbortOnDropHandle::new(tokio::spawn(call));
    let first = tokio::select! {
        biased;
        Some(first) = told.recv() => Some(first),
        outcome = &mut task => {
            return match whole(outcome) {
                Ok(result) => form::json(StatusCode::OK, &reply::answer(id, result)),
                Err(error) => failed(&error, era, Some(id)),
            };
        }
        () = sleep(pace.soon) => None,
    };
    let sign_of_life = pace.sign_of_life;
    let waiting = Waiting { task, told, first, id: id.clone(), state: State::Tells, sign_of_life };
    let events = stream::unfold(waiting, |mut waiting| async move {
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
    told: mpsc::Receiver<Value>,
    first: Option<Value>,
    id: Id,
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
            return Some(reply::event(&first).into());
        }
        while self.state != State::Over {
            tokio::select! {
                // What was told before the answer goes out before it.
                biased;
                message = self.told.recv(), if self.state == State::Tells => match message {
                    Some(message) => return Some(reply::event(&message).into()),
                    None => self.state = State::Quiet,
                },
                outcome = &mut self.task => {
                    self.state = State::Over;
                    let message = match whole(outcome) {
                        Ok(result) => reply::answer(&self.id, result),
                        Err(error) => error.body(Some(&self.id)),
                    };
                    return Some(reply::event(&message).into());
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

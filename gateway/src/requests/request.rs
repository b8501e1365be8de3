//! One request of an agent: read whole, understood by the target's protocol, decided, answered.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use gateway_core::http::{Answered, Asked, Fields};
use gateway_core::target::{Manner, NotTaken, Question, Reading};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tallyport_schemas::CommandId;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, debug_span};

use super::body::{AgentBody, Piece, Pieces};
use super::browsers;
use super::decide::Decided;
use super::exchange::Exchange;
use super::session::Session;
use super::streams::Upgrade;

/// The longest a body takes to come.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest request target that is repeated in an event.
const MAX_SHOWN_CHARS: usize = 2048;

/// What an agent is told. Everything in it is on record, or says that nothing can be.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) answered: Answered,
    pub(super) first: Bytes,
    /// Where more follows.
    pub(super) rest: Option<mpsc::Receiver<Piece>>,
}

impl Told {
    /// In the gateway's own words, of which there is no event: nothing can be put on record.
    pub(super) fn unrecorded(session: &Session) -> Self {
        let message =
            "the audit log is not available; nothing passes without a record, try again later";
        Self::own(session, 503, "log_unavailable", message)
    }

    /// In the gateway's own words.
    pub(super) fn own(session: &Session, status: u16, code: &str, message: &str) -> Self {
        let (media, body) = session.target.protocol.refusal(status, code, message);
        let fields = vec![
            ("content-type".to_owned(), media.to_owned()),
            ("cache-control".to_owned(), "no-store".to_owned()),
        ];
        Self { answered: Answered { status, fields }, first: body.into(), rest: None }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.answered.fields.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// Answers one request.
///
/// # Cancel safety
/// Dropped, what runs for it is ended, to the record of its end.
pub(super) async fn answer(session: Arc<Session>, asked: Request<Incoming>) -> Response<AgentBody> {
    let gone = CancellationToken::new();
    let guard = gone.clone().drop_guard();
    let span = debug_span!("request");
    let asked = read(&session, asked).instrument(span.clone()).await;
    let accept = asked.upgrade.as_ref().map(|upgrade| upgrade.accept().to_owned());
    let (told, answer) = oneshot::channel();
    let running = Arc::clone(&session);
    session.running.spawn(run(running, asked, gone, told).instrument(span));
    match answer.await {
        Ok(told) => {
            let first = (!told.first.is_empty()).then_some(told.first);
            let body = match told.rest {
                None => {
                    let _whole = guard.disarm();
                    AgentBody::Whole(first)
                }
                Some(rest) => AgentBody::Pieces(Pieces { first, rest, _guard: guard }),
            };
            let switches = told.answered.status == 101;
            let mut response = response(told.answered, body);
            if let Some(accept) = accept.filter(|_| switches) {
                Upgrade::fields(&accept, response.headers_mut());
            }
            response
        }
        // The session ended while it was not known what may be told.
        Err(_) => response(Told::unrecorded(&session).answered, AgentBody::Whole(None)),
    }
}

fn response(answered: Answered, body: AgentBody) -> Response<AgentBody> {
    let status = StatusCode::from_u16(answered.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let mut builder = Response::builder().status(status);
    for (name, value) in answered.fields {
        builder = builder.header(name, value);
    }
    builder.body(body).unwrap_or_else(|_| {
        let mut response = Response::new(AgentBody::Whole(None));
        *response.status_mut() = StatusCode::BAD_GATEWAY;
        response
    })
}

/// A request, as far as it could be read.
struct Read {
    upgrade: Option<Upgrade>,
    /// Its first line, for the record of one that could not be.
    line: String,
    asked: Result<Asked, NotTaken>,
}

async fn read(session: &Session, mut request: Request<Incoming>) -> Read {
    let upgrade = Upgrade::of(&mut request);
    let mut read = read_whole(session, request).await;
    read.upgrade = upgrade;
    read
}

async fn read_whole(session: &Session, request: Request<Incoming>) -> Read {
    let (head, body) = request.into_parts();
    let target = match (head.uri.scheme(), head.uri.authority(), head.uri.path_and_query()) {
        (None, None, Some(target)) => target.as_str().to_owned(),
        // Whoever names a host wants to choose one.
        _ => head.uri.to_string(),
    };
    let shown: String = target.chars().take(MAX_SHOWN_CHARS).collect();
    let line = format!("{} {shown}", head.method);
    let fields: Option<Fields> = head
        .headers
        .iter()
        .map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())))
        .collect();
    let Some(fields) = fields else {
        let why = "a field of the request is not text (RFC 9110 section 5.5)";
        return Read { upgrade: None, line, asked: Err(NotTaken::unreadable(why)) };
    };
    let limit = session.target.config.max_request_bytes;
    let body = match timeout(BODY_TIMEOUT, Limited::new(body, limit).collect()).await {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("the body of a request to this target has at most {limit} bytes");
            let rule = "tallyport:limit";
            let why =
                NotTaken { status: 413, code: "too_large", rule, ..NotTaken::unreadable(message) };
            return Read { upgrade: None, line, asked: Err(why) };
        }
        Ok(Err(_)) => {
            return Read {
                upgrade: None,
                line,
                asked: Err(NotTaken::unreadable("the body did not come whole")),
            };
        }
        Err(_) => {
            let message = format!("the body did not come within {} s", BODY_TIMEOUT.as_secs());
            let rule = "tallyport:limit";
            let why =
                NotTaken { status: 408, code: "too_slow", rule, ..NotTaken::unreadable(message) };
            return Read { upgrade: None, line, asked: Err(why) };
        }
    };
    if let Err(why) = browsers::guard(&fields, session.target.reference()) {
        return Read { upgrade: None, line, asked: Err(why) };
    }
    let asked = Asked::read(head.method.as_str(), &target, fields, body);
    Read { upgrade: None, line, asked: asked.map_err(NotTaken::unreadable) }
}

async fn run(
    session: Arc<Session>,
    read: Read,
    gone: CancellationToken,
    told: oneshot::Sender<Told>,
) {
    let command_id = CommandId::new();
    let reading = match read.asked {
        Ok(asked) => session.target.protocol.read(asked),
        Err(why) => Reading {
            question: Question { statement: read.line, ..Question::default() },
            wanted: Err(why),
            plan: gateway_core::http::Plan::default(),
            manner: Manner::Answer,
        },
    };
    let Reading { question, wanted, plan, manner } = reading;
    let until = Instant::now() + session.target.config.patience;
    let decided = tokio::select! {
        biased;
        // What was asked of people waits on; whoever asks again finds it.
        () = gone.cancelled() => return,
        () = session.over.cancelled() => {
            let message = "the session ended before this request was decided";
            let _gone = told.send(Told::own(&session, 503, "session_ended", message));
            return;
        }
        decided = session.decide(question, wanted, command_id, until).instrument(debug_span!("judge")) => decided,
    };
    match decided {
        Decided::Passes(allowed) => {
            let manner = (manner, read.upgrade);
            Exchange::new(session, plan, manner, command_id, *allowed, told).run(gone).await;
        }
        Decided::Refused { status, code, message, again } => {
            let mut answer = Told::own(&session, status, code, &message);
            if let Some(seconds) = again {
                answer = answer.with("retry-after", &seconds.to_string());
            }
            let _gone = told.send(answer);
        }
        Decided::Log => {
            let _gone = told.send(Told::unrecorded(&session));
        }
    }
}

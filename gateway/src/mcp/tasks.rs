//! Calls that wait for people, as tasks (the extension `io.modelcontextprotocol/tasks` of 2026-07-28): the call goes on by itself,
//! and whoever made it comes for what became of it. A task is its caller's alone, and one gateway's: elsewhere, and after a
//! restart, the same call finds the approval that it asked for.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use gateway_core::approval::State as Standing;
use gateway_core::mcp::{Era, RequestMeta, RpcError, reply};
use jiff::{SignedDuration, Timestamp};
use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tallyport_schemas::ApprovalId;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::answer::Answered;
use super::waiting::{Attempt, Awaited, Outcome, Whose, words};
use crate::api::approvals::take_back;
use crate::inside::{Who, who};
use crate::service::{Caller, Inner};

/// What a client declares that knows them.
pub(super) const EXTENSION: &str = "io.modelcontextprotocol/tasks";
/// The most of one caller, and in all.
const MAX_OF_ONE: usize = 8;
const MAX_IN_ALL: usize = 256;
/// How long one that is over is kept, and the largest result.
const KEPT: SignedDuration = SignedDuration::from_mins(15);
const MAX_RESULT_BYTES: usize = 1024 * 1024;
const POLL_MS: u64 = 2_000;
/// How long one attempt waits for people; then the next one does.
const PATIENCE: Duration = Duration::from_secs(60);

/// All of one gateway.
#[derive(Debug, Default)]
pub(super) struct Tasks(Mutex<HashMap<String, Arc<Task>>>);

/// One.
#[derive(Debug)]
struct Task {
    id: String,
    who: Who,
    approvals: Vec<ApprovalId>,
    created: Timestamp,
    ttl: SignedDuration,
    cancel: CancellationToken,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    status: Status,
    changed: Timestamp,
}

/// What became of it.
#[derive(Clone, Debug)]
enum Status {
    /// It waits, for this.
    Working(String),
    /// With this result, which may say that the tool failed.
    Completed(Map<String, Value>),
    /// With this error of the protocol.
    Failed(Value),
    /// It was given up.
    Cancelled,
}

impl Tasks {
    /// Has a call that waits go on as a task; as its client is told of it. `None` where too many do.
    pub(super) fn begin(
        &self,
        whose: &Whose,
        awaited: &[Awaited],
        attempt: Attempt,
    ) -> Option<Map<String, Value>> {
        let (created, who) = (Timestamp::now(), who(&whose.caller));
        let waits = awaited.iter().map(|it| it.until).max().unwrap_or(created).min(whose.until);
        let all: Vec<String> = awaited.iter().map(words).collect();
        let task = Arc::new(Task {
            id: URL_SAFE_NO_PAD.encode(rand::random::<[u8; 16]>()),
            who,
            approvals: awaited.iter().map(|it| it.approval_id).collect(),
            created,
            ttl: waits.duration_since(created) + KEPT,
            cancel: CancellationToken::new(),
            state: Mutex::new(State { status: Status::Working(all.join(" ")), changed: created }),
        });
        let mut tasks = self.0.lock();
        tasks.retain(|_, it| !it.is_past(created));
        let theirs = || tasks.values().filter(|it| it.who == who);
        if theirs().count() >= MAX_OF_ONE {
            let over = theirs().filter_map(|it| Some((it.over_since()?, it.id.clone())));
            // What they were told of first, they have had the longest time to come for.
            let (_, oldest) = over.min()?;
            tasks.remove(&oldest);
        }
        if tasks.len() >= MAX_IN_ALL {
            return None;
        }
        tasks.insert(task.id.clone(), Arc::clone(&task));
        drop(tasks);
        let told = reply::task_created(task.told());
        let (inner, caller, until) =
            (Arc::clone(&whose.inner), Arc::clone(&whose.caller), whose.until);
        whose.inner.spawn(async move {
            let running = task.run((&inner, &caller, until), &attempt);
            inner.until_it_stops(running).await;
        });
        Some(told)
    }

    /// The one of this id, where it is theirs.
    fn find(&self, id: &str, caller: &Caller) -> Option<Arc<Task>> {
        let now = Timestamp::now();
        let found = self.0.lock().get(id).cloned();
        found.filter(|it| it.who == who(caller) && !it.is_past(now))
    }
}

impl Task {
    /// Makes the call again until it waits no more, and keeps what came of it.
    async fn run(
        &self,
        (inner, caller, until): (&Arc<Inner>, &Caller, Timestamp),
        attempt: &Attempt,
    ) {
        let again = async {
            loop {
                match attempt(PATIENCE).await {
                    Ok(Answered::Waits(..)) => {}
                    outcome => return outcome,
                }
            }
        };
        let left = Duration::try_from(until.duration_since(Timestamp::now())).unwrap_or_default();
        let ended = |why: &'static str| Err(RpcError::ended(why));
        let outcome = tokio::select! {
            biased;
            () = self.cancel.cancelled() => return self.over(Status::Cancelled),
            // Before the call asks for another one.
            () = self.withdrawn(inner) => return self.over(Status::Cancelled),
            () = sleep(left) => ended("the token, or the grant, expired; get a new one and call again with exactly the same arguments"),
            why = caller.lapsed() => Err(RpcError::ended(why)),
            outcome = again => outcome,
        };
        let welcome = inner.still_welcome(caller.identity());
        let outcome = welcome.map_err(|refusal| RpcError::ended(refusal.message)).and(outcome);
        self.over(Status::of(outcome));
    }

    /// Waits until something that it waits for is given up.
    async fn withdrawn(&self, inner: &Inner) {
        let mut changes = inner.control.changes();
        loop {
            changes.mark_unchanged();
            let now = Timestamp::now();
            let is_withdrawn = |id: &ApprovalId| {
                let case = inner.control.case(*id);
                case.is_some_and(|case| matches!(case.state(now), Standing::Withdrawn(_)))
            };
            if self.approvals.iter().any(is_withdrawn) {
                return;
            }
            if changes.changed().await.is_err() {
                return std::future::pending().await;
            }
        }
    }

    fn over(&self, status: Status) {
        let mut state = self.state.lock();
        if matches!(state.status, Status::Working(_)) {
            *state = State { status, changed: Timestamp::now() };
        }
    }

    fn over_since(&self) -> Option<Timestamp> {
        let state = self.state.lock();
        (!matches!(state.status, Status::Working(_))).then_some(state.changed)
    }

    fn is_past(&self, now: Timestamp) -> bool {
        self.over_since().is_some_and(|since| now.duration_since(since) >= KEPT)
    }

    /// As its client reads it.
    fn told(&self) -> Map<String, Value> {
        let state = self.state.lock();
        let (status, more) = match &state.status {
            Status::Working(words) => ("working", Some(("statusMessage", json!(words)))),
            Status::Completed(result) => ("completed", Some(("result", json!(result)))),
            Status::Failed(error) => ("failed", Some(("error", error.clone()))),
            Status::Cancelled => ("cancelled", None),
        };
        let members = [
            ("taskId", json!(self.id)),
            ("status", json!(status)),
            ("createdAt", json!(self.created)),
            ("lastUpdatedAt", json!(state.changed)),
            ("ttlMs", json!(i64::try_from(self.ttl.as_millis()).unwrap_or(i64::MAX))),
            ("pollIntervalMs", json!(POLL_MS)),
        ];
        members.into_iter().chain(more).map(|(name, it)| (name.to_owned(), it)).collect()
    }
}

impl Status {
    fn of(outcome: Outcome) -> Self {
        let failed = |error: &RpcError| {
            let told = error.body(None);
            Self::Failed(told.get("error").cloned().unwrap_or_default())
        };
        let message = match outcome {
            Ok(Answered::Result(result) | Answered::Waits(result, _)) => Ok(result),
            Ok(Answered::Message(_, bytes)) if bytes.len() > MAX_RESULT_BYTES => {
                Err(RpcError::ended("it ran, and its result is larger than what is kept, 1 MiB"))
            }
            Ok(Answered::Message(_, bytes)) => {
                match serde_json::from_slice::<Map<String, Value>>(&bytes).unwrap_or_default() {
                    mut message if message.contains_key("error") => {
                        return Self::Failed(message.remove("error").unwrap_or_default());
                    }
                    mut message => match message.remove("result") {
                        Some(Value::Object(result)) => Ok(result),
                        _ => Err(RpcError::internal()),
                    },
                }
            }
            Err(error) => Err(error),
        };
        match message {
            // Its approval is used up; the server would ask whoever called by a way that tasks do not have here.
            Ok(result) if wants_input(&result) => failed(&RpcError::ended(
                "the server wants input first, which cannot be given to a task here; call without declaring tasks",
            )),
            Ok(result) => Self::Completed(result),
            Err(error) => failed(&error),
        }
    }
}

fn wants_input(result: &Map<String, Value>) -> bool {
    result.get("resultType").and_then(Value::as_str).is_some_and(|kind| kind != "complete")
}

/// `tasks/get`, `tasks/update` and `tasks/cancel`; none where the method is another.
///
/// # Errors
/// [`RpcError`]: -32021 where the client did not declare that it knows tasks, -32602 where there is none of this id for them.
///
/// # Cancel safety
/// A dropped call may have cancelled it.
pub(super) async fn asked(
    inner: &Arc<Inner>,
    caller: &Arc<Caller>,
    (meta, method): (&RequestMeta, &str),
    params: &Map<String, Value>,
) -> Option<Result<Map<String, Value>, RpcError>> {
    let mcp = inner.mcp.as_ref()?;
    if !matches!(method, "tasks/get" | "tasks/update" | "tasks/cancel") {
        return None;
    }
    let found = meta.requires(&["extensions", EXTENSION]).and_then(|()| {
        let id = params.get("taskId").and_then(Value::as_str);
        let id = id.ok_or_else(|| RpcError::invalid_params("send params.taskId as a text"))?;
        let why = "there is no such task of yours here; call again with exactly the same arguments: what was approved runs then";
        mcp.tasks.find(id, caller).ok_or_else(|| RpcError::invalid_params(why))
    });
    let task = match found {
        Ok(task) => task,
        Err(error) => return Some(Err(error)),
    };
    Some(Ok(match method {
        "tasks/get" => reply::complete(Era::Modern, task.told()),
        "tasks/cancel" => {
            task.cancel(inner, caller).await;
            reply::done(Era::Modern)
        }
        // It wants no input.
        _ => reply::done(Era::Modern),
    }))
}

impl Task {
    /// Ends what runs for it, and takes back what it asked for.
    async fn cancel(&self, inner: &Arc<Inner>, caller: &Caller) {
        self.cancel.cancel();
        self.over(Status::Cancelled);
        for approval_id in &self.approvals {
            // It may be over, or used up by the call that ended just now.
            let _taken_back_or_over = take_back(inner, caller, *approval_id).await;
            inner.parked.give_up(&self.who, *approval_id);
        }
    }
}

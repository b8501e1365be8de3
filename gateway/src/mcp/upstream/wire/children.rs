//! The processes of one server: each is one caller's alone, started when that caller asks something, and ended when they have
//! not for a while.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gateway_core::mcp::Id;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::child::{Child, ChildAnswers, End};
use super::process::start;
use super::{Manner, Scope, WireError, WireSession};
use crate::config::{Credential, McpProcess};

/// Numbers of requests begin here: the gateway's own questions have smaller ones.
const FIRST_NUMBER: u64 = 1_000;
/// Where there is no room, whoever did not use theirs for so long makes some.
const MAY_BE_ENDED: Duration = Duration::from_secs(60);
/// Within this, a second death of a caller's processes has them wait before the next start, and each further one longer,
const MINUTE: Duration = Duration::from_secs(60);
/// up to this.
const LONGEST_REST: Duration = Duration::from_secs(30);
/// The most callers whose deaths are remembered.
const MAX_REMEMBERED: usize = 4_096;

/// All of one server.
#[derive(Debug)]
pub(in crate::mcp::upstream) struct Children {
    server: String,
    process: McpProcess,
    patience: Duration,
    number: AtomicU64,
    all: Mutex<Vec<Arc<Child>>>,
    deaths: Mutex<HashMap<Scope, Vec<Instant>>>,
    /// One start at a time.
    starting: tokio::sync::Mutex<()>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Children {
    pub(super) fn new(server: &str, process: McpProcess, patience: Duration) -> Arc<Self> {
        Arc::new(Self {
            server: server.to_owned(),
            process,
            patience,
            number: AtomicU64::new(FIRST_NUMBER),
            all: Mutex::default(),
            deaths: Mutex::default(),
            starting: tokio::sync::Mutex::default(),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    /// The name of one more request.
    pub(super) fn next_number(&self) -> Id {
        Id::from(self.number.fetch_add(1, Ordering::Relaxed))
    }

    /// Says something to the process that it is for, which is started where there is none.
    ///
    /// # Cancel safety
    /// A dropped call may have said it.
    pub(super) async fn post(
        self: &Arc<Self>,
        bytes: Bytes,
        manner: &Manner,
        (scope, id): (&Scope, Option<&Id>),
    ) -> Result<ChildAnswers, WireError> {
        loop {
            let (child, may_be_another) = match manner {
                Manner::Within(session) => (self.of_session(session), false),
                // What wants no answer is of use to none but one that is there.
                Manner::Modern(_) if id.is_none() => {
                    (self.modern(scope).ok_or(WireError::NoSession), false)
                }
                Manner::Modern(_) => (self.start(scope, false).await, true),
                Manner::Begins => (self.start(scope, true).await, false),
            };
            let child = child?;
            let awaited = id.map(|id| child.wait(id)).transpose();
            match awaited {
                // It left just now, unused: nothing was said to it.
                Err(WireError::NoSession) if may_be_another => {}
                awaited => return child.say(bytes, awaited?).await,
            }
        }
    }

    /// Has what the process of a session says by itself.
    pub(super) fn listen(&self, session: &WireSession) -> Result<ChildAnswers, WireError> {
        Ok(self.of_session(session)?.listen())
    }

    /// Ends the process of a session.
    pub(super) fn end(&self, session: &WireSession) {
        if let Ok(child) = self.of_session(session) {
            child.stop.cancel();
        }
    }

    pub(super) fn end_all_of(&self, scope: &Scope) {
        self.all.lock().iter().filter(|it| it.scope == *scope).for_each(|it| it.stop.cancel());
    }

    pub(super) fn has(&self, session: &WireSession) -> bool {
        self.of_session(session).is_ok()
    }

    pub(super) fn kept(&self, scope: &Scope) -> Option<WireSession> {
        self.find(|it| it.scope == *scope && it.kept().is_some())?.kept()
    }

    pub(super) fn keep(&self, scope: &Scope, session: &WireSession) -> bool {
        match (self.kept(scope), self.of_session(session)) {
            (None, Ok(child)) => {
                child.keep(session);
                true
            }
            (kept, _) => kept.as_ref() == Some(session),
        }
    }

    /// Ends all, and starts no more.
    ///
    /// # Cancel safety
    /// Cancel safe: call it again to go on.
    pub(super) async fn stop(&self) {
        self.stop.cancel();
        // Whatever was being started is there now, and is to end as the others are.
        let _no_more = self.starting.lock().await;
        self.tasks.close();
        self.tasks.wait().await;
    }

    fn find(&self, is: impl Fn(&Child) -> bool) -> Option<Arc<Child>> {
        self.all.lock().iter().find(|it| it.is_live() && is(it)).cloned()
    }

    fn of_session(&self, session: &WireSession) -> Result<Arc<Child>, WireError> {
        let found = self.find(|it| Some(&it.number) == session.id.as_ref());
        found.ok_or(WireError::NoSession)
    }

    fn modern(&self, scope: &Scope) -> Option<Arc<Child>> {
        self.find(|it| it.scope == *scope && !it.in_session)
    }

    async fn start(
        self: &Arc<Self>,
        scope: &Scope,
        in_session: bool,
    ) -> Result<Arc<Child>, WireError> {
        let _one_at_a_time = self.starting.lock().await;
        if let (false, Some(found)) = (in_session, self.modern(scope)) {
            return Ok(found);
        }
        if self.stop.is_cancelled() {
            return Err(WireError::Unreachable("the gateway stops".to_owned()));
        }
        self.rested(scope)?;
        self.make_room(scope).await?;
        let started = start(&self.process).await?;
        let number = self.next_number().as_value().to_string();
        let how = (self.patience, self.stop.child_token());
        let (child, outgoing) = Child::new(number, scope.clone(), in_session, how);
        self.all.lock().push(Arc::clone(&child));
        let (children, running) = (Arc::clone(self), Arc::clone(&child));
        self.tasks.spawn(async move {
            let (server, idle) = (&children.server, children.process.idle);
            let end = Arc::clone(&running).run(server, (started, outgoing), idle).await;
            children.ended(&running, end);
        });
        Ok(child)
    }

    /// Makes room for one more; the gateway's own need none.
    async fn make_room(&self, scope: &Scope) -> Result<(), WireError> {
        let Some(principal) = scope.principal() else { return Ok(()) };
        let (most, most_of_one) =
            (self.process.max_processes, self.process.max_processes_per_principal);
        loop {
            let (all, theirs) = self.count(scope);
            let leaves = if theirs >= most_of_one {
                self.longest_idle(Duration::ZERO, |it| it.scope.principal() == Some(principal))
            } else if all >= most {
                self.longest_idle(MAY_BE_ENDED, |it| it.scope.principal().is_some())
            } else {
                return Ok(());
            };
            let leaves = leaves.ok_or(WireError::Full)?;
            if leaves.retire(Duration::ZERO) {
                leaves.ended.cancelled().await;
            }
        }
    }

    /// How many there are beside the gateway's own, and how many of whoever this is.
    fn count(&self, scope: &Scope) -> (usize, usize) {
        let all = self.all.lock();
        let somebodys = || all.iter().filter_map(|it| it.scope.principal());
        let theirs = somebodys().filter(|it| Some(*it) == scope.principal()).count();
        (somebodys().count(), theirs)
    }

    fn longest_idle(&self, at_least: Duration, of: impl Fn(&Child) -> bool) -> Option<Arc<Child>> {
        let all = self.all.lock();
        let idle = all.iter().filter(|it| of(it)).filter_map(|it| Some((it.idle_since()?, it)));
        let idle = idle.filter(|(since, _)| since.elapsed() >= at_least);
        idle.min_by_key(|(since, _)| *since).map(|(_, it)| Arc::clone(it))
    }

    fn ended(&self, child: &Arc<Child>, end: End) {
        self.all.lock().retain(|it| !Arc::ptr_eq(it, child));
        if end != End::Asked {
            tracing::warn!(server = self.server, ?end, "a process of an MCP server ended");
            // What it was given may have been changed since it was kept.
            self.process.environment.iter().map(|(_, it)| it).for_each(Credential::forget);
            let mut deaths = self.deaths.lock();
            if deaths.len() >= MAX_REMEMBERED {
                deaths.retain(|_, at| at.last().is_some_and(|at| at.elapsed() < MINUTE));
            }
            let of_scope = deaths.entry(child.scope.clone()).or_default();
            of_scope.retain(|at| at.elapsed() < MINUTE);
            of_scope.push(Instant::now());
        }
        child.ended.cancel();
    }

    /// Whether a caller's processes have not died too often lately.
    fn rested(&self, scope: &Scope) -> Result<(), WireError> {
        let deaths = self.deaths.lock();
        let Some(of_scope) = deaths.get(scope) else { return Ok(()) };
        let lately = of_scope.iter().filter(|at| at.elapsed() < MINUTE).count();
        let Some(last) = of_scope.last() else { return Ok(()) };
        let rest = rest_after(lately).saturating_sub(last.elapsed());
        if rest.is_zero() { Ok(()) } else { Err(WireError::Rests(rest.as_secs() + 1)) }
    }
}

/// How long none is started after so many deaths in a minute.
fn rest_after(deaths: usize) -> Duration {
    let doublings = match deaths {
        0 | 1 => return Duration::ZERO,
        many => u32::try_from(many - 2).unwrap_or(u32::MAX),
    };
    Duration::from_secs(2_u64.saturating_pow(doublings)).min(LONGEST_REST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_death_within_a_minute_has_the_next_start_wait_longer() {
        let rests: Vec<_> =
            [0, 1, 2, 3, 4, 5, 6, 7, 200].map(rest_after).map(|it| it.as_secs()).into();
        assert_eq!(rests, [0, 0, 1, 2, 4, 8, 16, 30, 30]);
    }
}

//! What the target owes: one entry per message that must be answered, in the order in which they went out.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use tallyport_schemas::ResponseStatus;

use super::names::{Names, Portal, Prepared};
use super::shape::Shape;
use crate::passage::Bench;
use crate::passage::batch::Tally;
use crate::sql::Parsed;

/// What is waited for.
#[derive(Debug)]
pub(super) enum Awaited {
    /// All of a simple query, up to ReadyForQuery.
    Query { parsed: Option<Parsed> },
    /// ParseComplete.
    Parse { name: Bytes, prepared: Option<Arc<Prepared>> },
    /// BindComplete.
    Bind { name: Bytes, portal: Option<Arc<Portal>> },
    /// ParameterDescription, then RowDescription or NoData.
    DescribeStatement { prepared: Option<Arc<Prepared>> },
    /// RowDescription or NoData. Hidden: the gateway asked, the agent did not.
    DescribePortal { name: Bytes, hidden: bool },
    /// Rows, then the end of the portal's run.
    Execute { portal: Bytes, prepared: Option<Arc<Prepared>> },
    /// CloseComplete.
    CloseStatement { name: Bytes },
    /// CloseComplete.
    ClosePortal { name: Bytes },
    /// ReadyForQuery.
    Sync,
    /// Nothing: marks where the data of a COPY ended.
    CopyEnd,
    /// Nothing: these bytes are the gateway's own answer.
    Local(Bytes),
}

/// One entry.
#[derive(Debug)]
pub(super) struct Expect {
    pub awaited: Awaited,
    /// The command's response is complete with this answer.
    pub ends_command: bool,
    /// What the agent gets in the place of the target's error.
    pub instead_of_error: Option<(Bytes, &'static str)>,
}

impl Expect {
    pub(super) const fn of(awaited: Awaited) -> Self {
        Self { awaited, ends_command: false, instead_of_error: None }
    }
}

/// A command whose response is not complete.
#[derive(Debug)]
pub(super) struct OpenCommand {
    pub tally: Tally,
    pub bench: Arc<Bench>,
    pub row_limit: Option<u64>,
    pub scrub: bool,
    /// The target skipped a part of it, behind an error.
    pub skipped: bool,
    /// The result that its rows belong to now.
    pub shape: Option<Arc<Shape>>,
}

/// Entries and commands that go out with one unit.
#[derive(Debug, Default)]
pub struct Ledger {
    pub(super) expects: Vec<Expect>,
    pub(super) commands: Vec<OpenCommand>,
}

impl Ledger {
    pub(super) fn expect(&mut self, awaited: Awaited) {
        self.expects.push(Expect::of(awaited));
    }

    /// Ends the span of `command`: its last entry completes it. Without an entry it has no response.
    pub(super) fn end_span(&mut self, from: usize, command: Option<OpenCommand>) {
        if self.expects.len() > from
            && let (Some(last), Some(command)) = (self.expects.last_mut(), command)
        {
            last.ends_command = true;
            self.commands.push(command);
        }
    }
}

/// What ended since the target was last ready.
#[derive(Debug, Default)]
pub(super) struct Cycle {
    pub ended: usize,
    pub last: Option<Parsed>,
    pub failed: bool,
}

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Pipe {
    pub queue: VecDeque<Expect>,
    pub open: VecDeque<OpenCommand>,
    /// The target ignores everything up to the next Sync.
    pub skipping: bool,
    /// The target takes COPY data whose end has not gone out: it ignores every Sync until then.
    pub copying: bool,
}

impl Pipe {
    pub(super) fn is_drained(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether the next answer is the gateway's own.
    pub(super) fn has_local_head(&self) -> bool {
        self.queue
            .front()
            .is_some_and(|expect| matches!(expect.awaited, Awaited::Local(_) | Awaited::CopyEnd))
    }

    /// A unit goes out. Gives the commands that the target will skip.
    pub(super) fn push(&mut self, ledger: Ledger, names: &mut Names) -> Vec<OpenCommand> {
        self.open.extend(ledger.commands);
        let mut skipped = Vec::new();
        for expect in ledger.expects {
            if self.skipping && !matches!(expect.awaited, Awaited::Local(_)) {
                if matches!(expect.awaited, Awaited::Sync) {
                    self.skipping = false;
                } else {
                    skipped.extend(self.abandon(&expect, names));
                    continue;
                }
            }
            self.copying &= !matches!(expect.awaited, Awaited::CopyEnd);
            if self.copying && matches!(expect.awaited, Awaited::Sync) {
                skipped.extend(expect.ends_command.then(|| self.open.pop_back()).flatten());
                continue;
            }
            self.queue.push_back(expect);
        }
        skipped
    }

    /// The target refused a message of the extended protocol: it skips all up to the next Sync.
    pub(super) fn fail_series(&mut self, names: &mut Names) -> Vec<OpenCommand> {
        let mut ended = Vec::new();
        self.skipping = true;
        self.copying = false;
        while let Some(expect) = self.queue.pop_front() {
            if matches!(expect.awaited, Awaited::Sync) {
                self.skipping = false;
                self.queue.push_front(expect);
                break;
            }
            ended.extend(self.abandon(&expect, names));
        }
        ended
    }

    /// The COPY at the head takes data: a Sync that went out before the end of its data is not answered. Gives the
    /// commands that were nothing but such a Sync.
    pub(super) fn begin_copy_in(&mut self) -> Vec<OpenCommand> {
        let mut kept: VecDeque<Expect> = VecDeque::with_capacity(self.queue.len());
        let mut ended = Vec::new();
        let mut before = 0;
        let mut in_copy = true;
        for expect in self.queue.drain(..) {
            in_copy &= !matches!(expect.awaited, Awaited::CopyEnd);
            if !(in_copy && matches!(expect.awaited, Awaited::Sync)) {
                before += usize::from(expect.ends_command);
                kept.push_back(expect);
                continue;
            }
            match kept.back_mut() {
                // The Sync would have ended the span of the COPY itself.
                Some(last) if expect.ends_command && !last.ends_command => {
                    last.ends_command = true;
                    before += 1;
                }
                _ if expect.ends_command => ended.extend(self.open.remove(before)),
                _ => {}
            }
        }
        self.queue = kept;
        self.copying = in_copy;
        ended
    }

    /// The response of the command at the head is complete.
    pub(super) fn finish_head(&mut self, expect: &Expect) -> Option<OpenCommand> {
        if expect.ends_command { self.open.pop_front() } else { None }
    }

    fn abandon(&mut self, expect: &Expect, names: &mut Names) -> Option<OpenCommand> {
        match &expect.awaited {
            Awaited::Parse { name, prepared } => {
                names.statement_abandoned(name, prepared.as_deref());
            }
            Awaited::CloseStatement { name } => names.statement_abandoned(name, None),
            Awaited::Bind { name, .. } | Awaited::ClosePortal { name } => {
                names.portals.settle(name);
            }
            _ => {}
        }
        if !expect.ends_command
            && let Some(open) = self.open.front_mut()
        {
            open.skipped = true;
        }
        self.finish_head(expect)
    }
}

impl OpenCommand {
    /// It came to its end as meant, unless an error came before.
    pub(super) fn succeed(&mut self, status: ResponseStatus) {
        if self.tally.status != ResponseStatus::Error {
            self.tally.status = status;
        }
    }

    /// The first error counts.
    pub(super) fn fail(&mut self, sqlstate: String) {
        self.tally.status = ResponseStatus::Error;
        self.tally.sqlstate.get_or_insert(sqlstate);
    }
}

//! The machine in the middle of one session, sans-IO.
//!
//! Towards the target: messages are gathered into a unit up to a flush point (Query, Sync, Flush, the end of COPY
//! data), each span of it is judged, and the unit passes whole or not at all. Back: messages go through the masks into
//! batches. [`Machine::agent_step`] gives what may go to the target, [`Machine::target_step`] what may go to the
//! agent; both only as types that must be committed first.
//!
//! Memory of one session: a unit of at most [`Limits::max_message_bytes`] plus [`UNIT_BYTES`], a row of at most
//! [`Limits::max_row_bytes`] when it must be masked or looked into (else [`crate::pg::frame::STREAM_ABOVE_BYTES`]), one batch of
//! [`crate::passage::CHUNK_BYTES`] plus one message, and the prepared statements' texts
//! ([`names::MAX_STATEMENT_TEXT_BYTES`]). Who drives it holds up to two more batches, which wait for their record.

mod agent;
mod detect;
mod end;
pub mod greet;
mod hold;
pub mod names;
mod parameters;
mod pipe;
mod ran;
mod refuse;
mod resolve;
mod rows;
mod shape;
mod spans;
mod target;
mod violation;

pub use end::{Ending, TimeLimit};
pub use pipe::Ledger;
pub use violation::Violation;

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroUsize;
use std::sync::Arc;

use bytes::Bytes;
use lru::LruCache;
use tallyport_access::policy::AskContext;
use tallyport_detect::Screen;
use tallyport_schemas::{ResponseSummary, SessionStats, SharedContext};

use crate::passage::batch::Batch;
use crate::passage::held::{Held, Leave};
use crate::passage::unit::CopyRun;
use crate::passage::{Authorized, Bench, Command, Masked, Note, Response, Scribe};
use crate::pg::frame::{Decoder, Piece};
use crate::sql::{Parsed, SessionState, SyntaxError};
use agent::{Gather, Raw};
use pipe::Pipe;
use shape::Shape;

/// A unit without a flush point is cut here.
pub const UNIT_BYTES: usize = 1024 * 1024;

/// With so many answers outstanding nothing more is sent before they are in.
pub const MAX_AWAITED: usize = 10_000;

/// Parsed texts that one session keeps.
const PARSED_KEPT: NonZeroUsize = NonZeroUsize::MIN.saturating_add(127);
/// Longer texts are not kept.
const PARSED_KEPT_BYTES: usize = 16 * 1024;

/// A batch for the agent.
pub type MaskedResponse = Masked<Response>;

/// Bounds of one session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest message of an agent that must be read whole.
    pub max_message_bytes: usize,
    /// The longest row that must be masked or looked into, and the longest other message of a target that must be read whole.
    pub max_row_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_message_bytes: 16 * 1024 * 1024, max_row_bytes: 64 * 1024 * 1024 }
    }
}

/// What comes of the agent's bytes.
#[derive(Debug)]
pub enum AgentStep {
    /// Nothing yet: more bytes are needed.
    NeedMore,
    /// The target must answer first: call again once [`Machine::is_drained`].
    Wait,
    /// May pass once it is durable: then [`Machine::forwarded`], then send it.
    Forward(Forward),
    /// Does not pass. Once it is durable: [`Machine::noted`].
    Refuse(Refuse),
    /// Waits for approvals, and is asked about again when called again: see [`Machine::decide`].
    Hold(Vec<Held>),
}

/// A unit that may pass.
#[derive(Debug)]
pub struct Forward {
    /// The unit.
    pub unit: Authorized<Command>,
    /// What changes in the machine when it goes out.
    pub after: After,
}

/// A unit that does not pass.
#[derive(Debug)]
pub struct Refuse {
    /// The record of it.
    pub note: Note,
    /// What changes in the machine once it is on record.
    pub after: After,
}

/// The effects of a step, due when its events are durable.
#[derive(Debug, Default)]
pub struct After {
    ledger: Ledger,
    names: Vec<agent::NameChange>,
    state: Option<SessionState>,
    copy: Option<CopyRun>,
    skip: Option<Skip>,
    wire_bytes: usize,
    commands: u64,
    refused: u64,
    /// Whether the series is open or ended behind this; `None` leaves it.
    series: Option<Series>,
    flushes: bool,
    /// How many statements run in it.
    ran: u64,
    /// The session is not as it was once this ran.
    touches: bool,
    /// The agent said goodbye: the session ends once this is sent.
    pub terminates: bool,
    /// A statement may have changed what the catalog says.
    pub changes_catalog: bool,
}

impl After {
    /// Statements that pass, as the session's record counts them.
    #[must_use]
    pub const fn commands(&self) -> u64 {
        self.commands
    }

    /// Units that do not.
    #[must_use]
    pub const fn refused(&self) -> u64 {
        self.refused
    }
}

/// Where a series of the extended protocol stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Series {
    /// Something went out that a Sync must end.
    Open,
    /// A Sync or a simple query ended it.
    Ended,
}

/// What becomes of the agent's messages up to its next Sync, after a refusal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Skip {
    /// They pass.
    #[default]
    No,
    /// They are dropped; the gateway answers the Sync.
    Local,
    /// They are dropped; the Sync passes, and the target answers it.
    UntilSync,
}

/// What comes of the target's bytes.
#[derive(Debug)]
pub enum TargetStep {
    /// Nothing yet: more bytes are needed.
    NeedMore,
    /// May pass once it is durable.
    Batch(MaskedResponse),
}

/// The session.
#[derive(Debug)]
pub struct Machine {
    limits: Limits,
    scribe: Scribe,
    stats: SessionStats,
    // towards the target
    agent: Decoder,
    gather: Gather,
    retained: Option<Raw>,
    names: names::Names,
    state: SessionState,
    copy: Option<CopyRun>,
    skip: Skip,
    /// Something went out since the last Sync or simple query.
    series_open: bool,
    /// Something went out that the target may hold its answer back for.
    unflushed: bool,
    parsed: LruCache<String, Parsed>,
    /// Something ran that another session may lack.
    touched: bool,
    /// How many statements were sent to run.
    ran: u64,
    /// What the client asked for at its start.
    startup: BTreeMap<String, String>,
    /// What was decided about the unit that is held.
    leaves: Vec<Leave>,
    // back to the agent
    target: Decoder,
    held_piece: Option<Piece>,
    pipe: Pipe,
    cycle: pipe::Cycle,
    shapes: HashMap<Bytes, Arc<Shape>>,
    batch: Batch,
    /// Responses that the session's end cut short, until that is on record.
    interrupted: Vec<ResponseSummary>,
    tx_status: u8,
    settings: BTreeMap<String, String>,
    /// Behind an error that the gateway made, nothing of this series passes.
    mute: bool,
    /// Columns were masked for this session, now or before.
    masked: bool,
    /// What is looked for in what the agent gets.
    screen: Option<Screen>,
    cancel_wanted: Option<&'static str>,
    /// Only what is proven to read may run.
    reads_only: bool,
}

impl Machine {
    /// A session whose target has said that it is ready, with the settings it reported.
    #[must_use]
    pub fn new(
        limits: Limits,
        scribe: Scribe,
        state: SessionState,
        settings: BTreeMap<String, String>,
    ) -> Self {
        Self {
            limits,
            scribe,
            stats: SessionStats::default(),
            agent: Decoder::new(),
            gather: Gather::default(),
            retained: None,
            names: names::Names::default(),
            state,
            copy: None,
            skip: Skip::No,
            series_open: false,
            unflushed: false,
            parsed: crate::kept::at_most(PARSED_KEPT),
            touched: false,
            ran: 0,
            startup: BTreeMap::new(),
            leaves: Vec::new(),
            target: Decoder::new(),
            held_piece: None,
            pipe: Pipe::default(),
            cycle: pipe::Cycle::default(),
            shapes: HashMap::new(),
            batch: Batch::default(),
            interrupted: Vec::new(),
            tx_status: b'I',
            settings,
            mute: false,
            masked: false,
            screen: None,
            cancel_wanted: None,
            reads_only: false,
        }
    }

    /// Where `only` holds, nothing runs that is not proven to read, whatever policy permits.
    #[must_use]
    pub fn reading(self, only: bool) -> Self {
        Self { reads_only: only, ..self }
    }

    /// Detectors look into what the agent gets.
    #[must_use]
    pub fn looking(self, screen: Option<Screen>) -> Self {
        Self { screen, ..self }
    }

    /// With what the client asked for at its start.
    #[must_use]
    pub fn started_with(self, startup: BTreeMap<String, String>) -> Self {
        Self { startup, ..self }
    }

    /// Whether the target owes no answer.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.pipe.is_drained()
    }

    /// Whether bytes or answers wait that [`Machine::target_step`] can go on with.
    #[must_use]
    pub fn has_local_answer(&self) -> bool {
        self.pipe.has_local_head()
    }

    /// The rule by which the gateway must cancel what the target runs; told once.
    pub const fn take_cancel(&mut self) -> Option<&'static str> {
        self.cancel_wanted.take()
    }

    /// What passed so far.
    #[must_use]
    pub const fn stats(&self) -> SessionStats {
        self.stats
    }

    /// What all events of the session share.
    #[must_use]
    pub const fn context(&self) -> &SharedContext {
        self.scribe.context()
    }

    /// Numbers the session's events; for events that the machine does not make itself.
    pub const fn scribe(&mut self) -> &mut Scribe {
        &mut self.scribe
    }

    /// Counts bytes that the agent got.
    pub const fn sent_to_agent(&mut self, bytes: usize) {
        self.stats.bytes_to_agent += bytes as u64;
    }

    /// Whether what was given for the agent so far ends inside a message that comes in pieces.
    #[must_use]
    pub const fn is_inside_answer(&self) -> bool {
        self.target.is_inside_message()
    }

    /// Later answers are read under a fresher catalog or policy: those that are on their way too.
    pub fn renew(&mut self, bench: &Arc<Bench>) {
        for open in &mut self.pipe.open {
            open.bench = Arc::clone(bench);
        }
    }

    /// Parses `text`, or remembers it.
    fn parse(&mut self, text: &str) -> Result<Parsed, SyntaxError> {
        if let Some(parsed) = self.parsed.get(text) {
            return Ok(parsed.clone());
        }
        let parsed = Parsed::parse(text)?;
        if text.len() <= PARSED_KEPT_BYTES {
            self.parsed.put(text.to_owned(), parsed.clone());
        }
        Ok(parsed)
    }
}

/// What is judged with: the bench, and the facts of the moment.
#[derive(Clone, Copy, Debug)]
pub struct Court<'a> {
    /// Who judges.
    pub bench: &'a Arc<Bench>,
    /// Time, address, session.
    pub context: &'a AskContext,
    /// The monotonic clock, in microseconds.
    pub now_us: u64,
}

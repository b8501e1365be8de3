//! The way in: the agent's messages, gathered up to a flush point, judged, and made into what may pass.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::names::{Lookup, Portal, Prepared};
use super::pipe::Awaited;
use super::spans::Spans;
use super::{
    After, AgentStep, Court, Forward, MAX_AWAITED, Machine, Refuse, Series, Skip, UNIT_BYTES,
    Violation,
};
use crate::passage::batch::CHUNK_BYTES;
use crate::passage::own;
use crate::passage::unit::{Sealed, Unit};
use crate::pg::frame::{Frame, Handling, Piece};
use crate::pg::frontend;

/// A change of a name that goes to the target.
#[derive(Debug)]
pub(super) enum NameChange {
    Statement(Bytes, Option<Arc<Prepared>>),
    Portal(Bytes, Option<Arc<Portal>>),
    /// SQL may have taken any prepared statement away, and given its name to another.
    ForgetStatements,
    /// The same of portals.
    ForgetPortals,
    /// A simple query takes the unnamed statement and portal away.
    ForgetUnnamed,
}

/// What is gathered for the next unit.
#[derive(Debug, Default)]
pub(super) struct Gather {
    frames: Vec<Frame>,
    frames_bytes: usize,
    copy: BytesMut,
    held: Option<Piece>,
}

/// A unit, not judged yet.
#[derive(Debug)]
pub(super) enum Raw {
    /// Messages, the last of them a flush point (or the bound).
    Messages(Vec<Frame>),
    /// COPY data, and whether its end is in it.
    Copy { bytes: Bytes, ends: bool },
}

impl Machine {
    /// Takes bytes from the agent.
    pub fn agent_bytes(&mut self, bytes: &[u8]) {
        self.agent.extend(bytes);
    }

    /// Goes on with what the agent sent.
    ///
    /// # Errors
    /// When the session must end.
    pub fn agent_step(&mut self, court: &Court<'_>) -> Result<AgentStep, Violation> {
        self.masked |= !court.bench.masks().is_empty();
        let raw = match self.retained.take() {
            Some(raw) => raw,
            None => match self.gather()? {
                Some(raw) => raw,
                None => return Ok(AgentStep::NeedMore),
            },
        };
        match raw {
            Raw::Copy { bytes, ends } => self.copy_unit(&bytes, ends),
            Raw::Messages(frames) => self.messages_unit(frames, court),
        }
    }

    /// The effects of a unit that is durable, right before it is sent.
    ///
    /// # Errors
    /// When what the target will skip cannot be recorded.
    pub fn forwarded(&mut self, after: After, now_us: u64) -> Result<(), Violation> {
        self.stats.commands += after.commands;
        self.touched |= after.touches;
        self.stats.bytes_to_target += after.wire_bytes as u64;
        self.unflushed = !after.flushes;
        self.noted(after, now_us)
    }

    /// The effects of a refusal that is durable.
    ///
    /// # Errors
    /// When what the target will skip cannot be recorded.
    pub fn noted(&mut self, after: After, now_us: u64) -> Result<(), Violation> {
        self.stats.refused += after.refused;
        if let Some(series) = after.series {
            self.series_open = series == Series::Open;
        }
        self.ran += after.ran;
        for change in after.names {
            match change {
                NameChange::Statement(name, to) => self.names.statement_sent(&name, to),
                NameChange::Portal(name, to) => self.names.portals.change(&name, to),
                NameChange::ForgetStatements => self.names.forget_statements(),
                NameChange::ForgetPortals => self.names.portals.clear(),
                NameChange::ForgetUnnamed => self.names.forget_unnamed(),
            }
        }
        if after.series == Some(Series::Ended) {
            self.names.end_series();
        }
        if let Some(state) = after.state {
            self.state = state;
        }
        if after.copy.is_some() {
            self.copy = after.copy;
        }
        if let Some(skip) = after.skip {
            self.skip = skip;
        }
        for skipped in self.pipe.push(after.ledger, &mut self.names) {
            self.complete(skipped, now_us)?;
        }
        Ok(())
    }

    fn gather(&mut self) -> Result<Option<Raw>, Violation> {
        loop {
            let max_bytes = self.limits.max_message_bytes;
            let piece = match self.gather.held.take() {
                Some(piece) => piece,
                None => {
                    // Known by its first byte, as PostgreSQL does: its length may be as wrong as its kind.
                    if let Some(tag) = self.agent.next_tag().filter(|tag| !frontend::is_known(*tag))
                    {
                        return Err(Violation::UnknownFromAgent { tag });
                    }
                    let next = self.agent.next_piece(|tag| match tag {
                        b'd' => Handling::Stream,
                        _ => Handling::Whole(max_bytes),
                    });
                    match next.map_err(Violation::AgentFrame)? {
                        Some(piece) => piece,
                        None => return Ok(None),
                    }
                }
            };
            if let Some(raw) = self.gather.take_in(piece) {
                return Ok(Some(raw));
            }
        }
    }

    /// COPY data goes on with the leave of its statement.
    fn copy_unit(&mut self, bytes: &Bytes, ends: bool) -> Result<AgentStep, Violation> {
        let Some(run) = self.copy.as_mut() else {
            // Nothing that passed asked for it: its COPY was refused, or there was none.
            let (note, _) = own::skipped(&mut self.scribe, bytes);
            return Ok(AgentStep::Refuse(Refuse { note, after: After::default() }));
        };
        let mut unit = Unit::new();
        unit.copy_data(run);
        unit.push(bytes);
        run.advance(bytes.len());
        let mut after = After { wire_bytes: bytes.len(), ..After::default() };
        if ends {
            after.ledger.expect(Awaited::CopyEnd);
        }
        match unit.seal(&mut self.scribe)? {
            Sealed::Authorized(unit) => Ok(AgentStep::Forward(Forward { unit, after })),
            Sealed::Refused { note, .. } => Ok(AgentStep::Refuse(Refuse { note, after })),
            Sealed::Held(held) => Ok(AgentStep::Hold(held)),
        }
    }

    pub(super) fn messages_unit(
        &mut self,
        frames: Vec<Frame>,
        court: &Court<'_>,
    ) -> Result<AgentStep, Violation> {
        if self.skip != Skip::No {
            return self.skipped_unit(&frames, court);
        }
        if self.must_wait(&frames)? {
            return self.wait_with(frames, court);
        }
        let spans = Spans::judge(self, &frames, court)?;
        if spans.unit.is_held() {
            return self.hold(spans, frames, court);
        }
        if spans.unit.is_denied() {
            if !self.is_drained() {
                return self.wait_with(frames, court);
            }
            self.leaves.clear();
            return self.refuse(spans, &frames, court);
        }
        self.leaves.clear();
        let mut after = spans.after;
        match spans.unit.seal(&mut self.scribe)? {
            Sealed::Authorized(unit) => {
                after.wire_bytes = unit.wire_bytes();
                Ok(AgentStep::Forward(Forward { unit, after }))
            }
            Sealed::Refused { note, .. } => {
                let after = After { refused: 1, ..After::default() };
                Ok(AgentStep::Refuse(Refuse { note, after }))
            }
            Sealed::Held(held) => Ok(AgentStep::Hold(held)),
        }
    }

    /// The unit waits until the target owes nothing. What the target may hold back is flushed first.
    pub(super) fn wait_with(
        &mut self,
        frames: Vec<Frame>,
        court: &Court<'_>,
    ) -> Result<AgentStep, Violation> {
        self.retained = Some(Raw::Messages(frames));
        if !self.unflushed {
            return Ok(AgentStep::Wait);
        }
        let unit = own::flush(court.bench.policy_version(), &mut self.scribe);
        let wire_bytes = unit.wire_bytes();
        let after = After { wire_bytes, flushes: true, ..After::default() };
        Ok(AgentStep::Forward(Forward { unit, after }))
    }

    /// Whether judging these messages depends on answers that are not in: a text whose reading depends on a setting,
    /// or a name that is being changed. So does an agent that asks on and on while nothing is answered.
    fn must_wait(&self, frames: &[Frame]) -> Result<bool, Violation> {
        if self.is_drained() {
            return Ok(false);
        }
        if self.pipe.queue.len() >= MAX_AWAITED {
            return Ok(true);
        }
        // What an earlier message of the same unit defines needs no answer.
        let (mut statements, mut portals) = (Vec::new(), Vec::new());
        for frame in frames {
            let waits = match frame.tag() {
                b'Q' => !is_plain(frontend::query(frame.body())?),
                b'P' => {
                    let parse = frontend::Parse::read(frame.body())?;
                    statements.push(parse.name);
                    !is_plain(parse.text)
                }
                b'B' => {
                    let bind = frontend::Bind::read(frame.body())?;
                    portals.push(bind.portal);
                    !statements.contains(&bind.statement)
                        && matches!(self.names.statements.get(bind.statement), Lookup::Unconfirmed)
                }
                b'E' => {
                    let execute = frontend::Execute::read(frame.body())?;
                    !portals.contains(&execute.portal)
                        && matches!(self.names.portals.get(execute.portal), Lookup::Unconfirmed)
                }
                _ => false,
            };
            if waits {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Why the target may read `text` otherwise than the parser does: only UTF-8 and standard strings are alike.
    pub(super) fn ambiguous_text(&self, text: &[u8]) -> Option<&'static str> {
        if is_plain(text) {
            return None;
        }
        let setting = |name: &str| self.settings.get(name).map(String::as_str);
        if !text.is_ascii() && !matches!(setting("client_encoding"), Some("UTF8")) {
            return Some("a statement with other than ASCII characters needs client_encoding UTF8");
        }
        if text.contains(&b'\\') && setting("standard_conforming_strings") != Some("on") {
            return Some("a statement with a backslash needs standard_conforming_strings = on");
        }
        None
    }
}

impl Gather {
    /// Adds a piece; gives a unit when it is complete.
    fn take_in(&mut self, piece: Piece) -> Option<Raw> {
        let (tag, bytes) = match &piece {
            Piece::Whole(frame) => (frame.tag(), frame.bytes()),
            Piece::Part { tag, bytes, .. } => (*tag, bytes),
        };
        if matches!(tag, b'd' | b'c' | b'f') {
            if !self.frames.is_empty() {
                self.held = Some(piece);
                return self.take_messages();
            }
            self.copy.extend_from_slice(bytes);
            let ends = tag != b'd';
            return (ends || self.copy.len() >= CHUNK_BYTES).then(|| self.take_copy(ends));
        }
        if !self.copy.is_empty() {
            self.held = Some(piece);
            return Some(self.take_copy(false));
        }
        let Piece::Whole(frame) = piece else { return None };
        self.frames_bytes += frame.bytes().len();
        self.frames.push(frame);
        if matches!(tag, b'Q' | b'F' | b'S' | b'H' | b'X') || self.frames_bytes >= UNIT_BYTES {
            return self.take_messages();
        }
        None
    }

    fn take_messages(&mut self) -> Option<Raw> {
        self.frames_bytes = 0;
        Some(Raw::Messages(std::mem::take(&mut self.frames)))
    }

    fn take_copy(&mut self, ends: bool) -> Raw {
        Raw::Copy { bytes: self.copy.split().freeze(), ends }
    }
}

/// Whether every server reads `text` alike, whatever its settings.
fn is_plain(text: &[u8]) -> bool {
    text.is_ascii() && !text.contains(&b'\\')
}

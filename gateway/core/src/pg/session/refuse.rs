//! What a refusal does to the agent and to its transaction.
//!
//! Nothing of a refused unit passes. The agent gets its error behind all earlier answers. Where PostgreSQL would have
//! failed a transaction (one is open, or a part of the series already went out), the target gets a statement that
//! always fails, and the agent gets our error in the place of the target's: so the transaction ends up failed on both
//! sides. Else the target gets nothing at all.

use bytes::BytesMut;

use super::pipe::{Awaited, Expect, OpenCommand};
use super::spans::Verdicts;
use super::{After, AgentStep, Court, Forward, Machine, Refuse, Series, Skip, Violation};
use crate::passage::Denial;
use crate::passage::batch::Tally;
use crate::passage::own;
use crate::passage::unit::Sealed;
use crate::pg::frame::Frame;
use crate::pg::write;
use tallyport_schemas::{CommandId, Recording, ResponseStatus};

impl Machine {
    /// Refuses a unit. The target owes nothing when this is called.
    pub(super) fn refuse(
        &mut self,
        verdicts: Verdicts,
        frames: &[Frame],
        court: &Court<'_>,
    ) -> Result<AgentStep, Violation> {
        let Sealed::Refused { note, denial, command_id } = verdicts.unit.seal(&mut self.scribe)?
        else {
            return Ok(AgentStep::Wait);
        };
        let last = frames.last().map_or(0, Frame::tag);
        let mut after = After { refused: 1, terminates: last == b'X', ..After::default() };
        if last == b'X' {
            return Ok(AgentStep::Refuse(Refuse { note, after }));
        }
        let simple = matches!(frames, [only] if matches!(only.tag(), b'Q' | b'F'));
        let synced = last == b'S';
        if !simple && (self.pipe.skipping || self.mute) {
            // The series has failed already: its error is with the agent, and the rest of it is skipped.
            after.skip = Some(Skip::UntilSync);
            return Ok(self.after_skipping(after, note, synced, frames, court));
        }
        if self.tx_status == b'T' || self.series_open {
            return Ok(self.poison(note, &denial, simple, frames, court));
        }
        let mut answer = BytesMut::from(&denial.reply().to_bytes()[..]);
        if simple || synced {
            answer.extend_from_slice(&write::ready_for_query(self.tx_status));
        } else {
            after.skip = Some(Skip::Local);
        }
        let sqlstate = Some(denial.reply().sqlstate);
        self.answer_with(&mut after, answer, command_id, sqlstate, court);
        Ok(AgentStep::Refuse(Refuse { note, after }))
    }

    /// Messages behind a refusal: dropped, up to the Sync.
    pub(super) fn skipped_unit(
        &mut self,
        frames: &[Frame],
        court: &Court<'_>,
    ) -> Result<AgentStep, Violation> {
        let last = frames.last().map_or(0, Frame::tag);
        let dropped: Vec<u8> =
            frames.iter().flat_map(|frame| frame.bytes().iter().copied()).collect();
        let (note, command_id) = own::skipped(&mut self.scribe, &dropped);
        let mut after = After { terminates: last == b'X', ..After::default() };
        if last != b'S' {
            return Ok(AgentStep::Refuse(Refuse { note, after }));
        }
        match self.skip {
            Skip::UntilSync => Ok(self.after_skipping(after, note, true, frames, court)),
            Skip::Local | Skip::No => {
                after.skip = Some(Skip::No);
                let ready = BytesMut::from(&write::ready_for_query(self.tx_status)[..]);
                self.answer_with(&mut after, ready, command_id, None, court);
                Ok(AgentStep::Refuse(Refuse { note, after }))
            }
        }
    }

    /// The Sync of a series that failed at the target passes; all before it is dropped.
    fn after_skipping(
        &mut self,
        mut after: After,
        note: crate::passage::Note,
        synced: bool,
        frames: &[Frame],
        court: &Court<'_>,
    ) -> AgentStep {
        let Some(sync) = frames.last().filter(|_| synced) else {
            return AgentStep::Refuse(Refuse { note, after });
        };
        let version = court.bench.policy_version();
        let (unit, command_id) = own::sync(sync.bytes(), version, &mut self.scribe, note);
        after.skip = Some(Skip::No);
        after.series = Some(Series::Ended);
        after.flushes = true;
        after.wire_bytes = unit.wire_bytes();
        after.ledger.expect(Awaited::Sync);
        after.ledger.end_span(0, Some(self.own_command(command_id, court)));
        AgentStep::Forward(Forward { unit, after })
    }

    /// Fails the transaction at the target, with our error in the place of its own.
    fn poison(
        &mut self,
        note: crate::passage::Note,
        denial: &Denial,
        simple: bool,
        frames: &[Frame],
        court: &Court<'_>,
    ) -> AgentStep {
        let sync = frames.last().filter(|frame| frame.tag() == b'S');
        let tail = sync.map(|frame| frame.bytes().clone()).unwrap_or_default();
        let version = court.bench.policy_version();
        let (unit, command_id) = own::poison(simple, &tail, version, &mut self.scribe, note);
        let mut after = After { refused: 1, flushes: true, ..After::default() };
        after.wire_bytes = unit.wire_bytes();
        let awaited = if simple {
            Awaited::Query { parsed: None }
        } else {
            let name = bytes::Bytes::from_static(own::POISON_NAME);
            after.names.push(super::agent::NameChange::Statement(name.clone(), None));
            Awaited::Parse { name, prepared: None }
        };
        let reply = denial.reply();
        let instead_of_error = Some((reply.to_bytes(), reply.sqlstate));
        after.ledger.expects.push(Expect { instead_of_error, ..Expect::of(awaited) });
        if sync.is_some() {
            after.ledger.expect(Awaited::Sync);
        }
        let ended = simple || sync.is_some();
        after.series = Some(if ended { Series::Ended } else { Series::Open });
        after.skip = (!ended).then_some(Skip::UntilSync);
        after.ledger.end_span(0, Some(self.own_command(command_id, court)));
        AgentStep::Forward(Forward { unit, after })
    }

    /// The gateway's own answer to a command that did not pass.
    fn answer_with(
        &self,
        after: &mut After,
        answer: BytesMut,
        command_id: CommandId,
        sqlstate: Option<&str>,
        court: &Court<'_>,
    ) {
        let mut command = self.own_command(command_id, court);
        match sqlstate {
            Some(sqlstate) => command.fail(sqlstate.to_owned()),
            None => command.succeed(ResponseStatus::Ok),
        }
        after.ledger.expect(Awaited::Local(answer.freeze()));
        after.ledger.end_span(0, Some(command));
    }

    fn own_command(&self, command_id: CommandId, court: &Court<'_>) -> OpenCommand {
        OpenCommand {
            tally: Tally::new(command_id, Recording::Full, court.now_us),
            bench: std::sync::Arc::clone(court.bench),
            row_limit: None,
            scrub: false,
            skipped: false,
            shape: None,
        }
    }
}

//! Cuts messages into spans, one per command, and has each judged before its bytes join the unit.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;
use tallyport_schemas::{Parameter, Phase, StatementKind};

use super::agent::NameChange;
use super::names::{Coming, MAX_NAME_BYTES, Portal, Prepared};
use super::parameters::record;
use super::pipe::{Awaited, OpenCommand};
use super::{After, Court, Machine, Series, Violation};
use crate::approval::bound_values;
use crate::passage::Denial;
use crate::passage::batch::Tally;
use crate::passage::held::{Covered, Ground};
use crate::passage::unit::{CopyRun, Detail, Judged, Moment, Unit};
use crate::pg::frame::Frame;
use crate::pg::frontend::{self, Object};
use crate::pg::read::Reader;
use crate::pg::write;
use crate::sql::{Parsed, SessionState};

/// A judged unit and its effects.
pub(super) struct Spans<'m> {
    pub(super) machine: &'m mut Machine,
    court: Court<'m>,
    pub(super) state: SessionState,
    pub(super) state_version: u64,
    pub unit: Unit,
    pub after: After,
    current: Option<Current>,
    /// Portals whose description is asked for after their Bind, in this unit.
    pub(super) described: Vec<Bytes>,
    coming: Coming,
}

/// The span that messages join now.
struct Current {
    command: OpenCommand,
    expects_from: usize,
    /// The portal that the span binds and has not run yet.
    bound: Option<Bytes>,
}

/// What judging a unit gave.
pub(super) struct Verdicts {
    pub unit: Unit,
    pub after: After,
}

impl<'m> Spans<'m> {
    pub(super) fn judge(
        machine: &'m mut Machine,
        frames: &[Frame],
        court: &Court<'m>,
    ) -> Result<Verdicts, Violation> {
        let mut state = machine.state.clone();
        if let Some(encoding) = machine.settings.get("client_encoding") {
            state.note_client_encoding(encoding);
        }
        let mut spans = Self {
            machine,
            court: *court,
            state,
            state_version: 0,
            unit: Unit::new(),
            after: After { series: Some(Series::Open), ..After::default() },
            current: None,
            described: Vec::new(),
            coming: Coming::default(),
        };
        for frame in frames {
            spans.add(frame)?;
        }
        spans.end_span();
        spans.after.state = Some(spans.state);
        Ok(Verdicts { unit: spans.unit, after: spans.after })
    }

    fn add(&mut self, frame: &Frame) -> Result<(), Violation> {
        let body = frame.body();
        if frontend::names(frame.tag(), body)?.iter().any(|name| name.len() > MAX_NAME_BYTES) {
            let reason = format!(
                "a prepared statement's or portal's name has at most {MAX_NAME_BYTES} bytes"
            );
            self.refuse(Phase::Control, Detail::default(), "42622", &reason);
            self.unit.push(frame.bytes());
            return Ok(());
        }
        match frame.tag() {
            b'Q' => self.query(frontend::query(body)?, frame),
            b'P' => self.parse(frontend::Parse::read(body)?, frame),
            b'B' => self.bind(&frontend::Bind::read(body)?, frame),
            b'E' => self.execute(frontend::Execute::read(body)?.portal, frame),
            b'D' => {
                let (object, name) = frontend::object(body)?;
                self.describe(object, name, frame);
            }
            b'C' => {
                let (object, name) = frontend::object(body)?;
                self.close(object, name, frame);
            }
            b'S' | b'H' => {
                Reader::new(body, "Sync or Flush").end()?;
                self.control(frame);
            }
            b'X' => self.control(frame),
            b'F' => {
                let reason = "function calls by message are not allowed; use SELECT instead";
                self.refuse(Phase::Control, Detail::default(), "0A000", reason);
                self.unit.push(frame.bytes());
            }
            tag => return Err(Violation::UnexpectedFromAgent { tag }),
        }
        Ok(())
    }

    fn query(&mut self, text: &[u8], frame: &Frame) {
        let parsed = self.text_span(Phase::Query, text, Detail::default());
        if let Some(parsed) = &parsed {
            self.ran(parsed);
        }
        self.unit.push(frame.bytes());
        self.after.ledger.expect(Awaited::Query { parsed });
        self.after.names.push(NameChange::ForgetUnnamed);
        self.after.series = Some(Series::Ended);
        self.after.flushes = true;
    }

    fn parse(&mut self, message: frontend::Parse<'_>, frame: &Frame) {
        let detail = Detail { prepared: Some(lossy(message.name)), ..Detail::default() };
        if !self.machine.names.has_room(self.coming, message.text.len()) {
            let reason = "too many prepared statements, or too much text in them; close some";
            self.refuse(Phase::Parse, detail, "53400", reason);
        } else if let Some(parsed) = self.text_span(Phase::Parse, message.text, detail) {
            if !message.name.is_empty() {
                self.state_version += 1;
                self.state.note_prepared(&lossy(message.name), &parsed);
            }
            let name = Bytes::copy_from_slice(message.name);
            let prepared =
                Arc::new(Prepared { parsed, types: message.types, columns: Mutex::new(None) });
            // The unnamed one takes the place of the one before.
            self.coming.statements += usize::from(!message.name.is_empty());
            self.coming.text_bytes += message.text.len();
            let change = NameChange::Statement(name.clone(), Some(Arc::clone(&prepared)));
            self.after.names.push(change);
            self.after.ledger.expect(Awaited::Parse { name, prepared: Some(prepared) });
        }
        self.unit.push(frame.bytes());
    }

    fn bind(&mut self, message: &frontend::Bind<'_>, frame: &Frame) {
        let name = Bytes::copy_from_slice(message.portal);
        let parameters: Vec<Parameter> =
            message.parameters.iter().map(|(format, value)| record(*format, *value)).collect();
        let detail = Detail {
            parameters: parameters.clone(),
            prepared: Some(lossy(message.statement)),
            portal: Some(lossy(message.portal)),
            ..Detail::default()
        };
        let Some(statement) = self.statement(message.statement) else {
            let reason = "the prepared statement does not exist";
            self.refuse(Phase::Execute, detail, "26000", reason);
            self.unit.push(frame.bytes());
            return;
        };
        if !self.machine.names.has_room_for_portal(self.coming) {
            self.refuse(Phase::Execute, detail, "53400", "too many portals; close some");
            self.unit.push(frame.bytes());
            return;
        }
        let ran = self.ran_before();
        if self.misleads(&name, &statement.parsed, ran) {
            let reason =
                "EXECUTE and FETCH run in the unnamed portal; leave the portal's name empty";
            self.refuse(Phase::Execute, detail, "0A000", reason);
            self.unit.push(frame.bytes());
            return;
        }
        self.coming.portals += usize::from(!message.portal.is_empty());
        let bound = bound_values(&statement.types, message.parameters.iter().copied());
        let parsed = Some(statement.parsed.clone());
        let detail = Detail { parsed, bound: Some(bound), ..detail };
        let covered = self.statement_span(Phase::Execute, detail);
        self.unit.push(frame.bytes());
        self.described.retain(|described| *described != name);
        if !name.is_empty() {
            self.state_version += 1;
            self.state.note_portal(&lossy(&name), &statement.parsed);
        }
        let (bound, bound_after) = (Some(bound), Some(ran));
        let portal = Arc::new(Portal { statement, parameters, bound, covered, bound_after });
        self.after.names.push(NameChange::Portal(name.clone(), Some(Arc::clone(&portal))));
        self.after.ledger.expect(Awaited::Bind { name: name.clone(), portal: Some(portal) });
        if let Some(current) = &mut self.current {
            current.bound = Some(name);
        }
    }

    fn execute(&mut self, portal: &[u8], frame: &Frame) {
        let name = Bytes::copy_from_slice(portal);
        let Some(found) = self.portal(portal) else {
            let detail = Detail { portal: Some(lossy(portal)), ..Detail::default() };
            self.refuse(Phase::Execute, detail, "34000", "the portal does not exist");
            self.unit.push(frame.bytes());
            return;
        };
        if self.portal_misleads(&name, &found) {
            let parsed = Some(found.statement.parsed.clone());
            let detail = Detail { parsed, portal: Some(lossy(portal)), ..Detail::default() };
            let reason = "a portal of EXECUTE or FETCH runs right behind its Bind; bind it again";
            self.refuse(Phase::Execute, detail, "55000", reason);
            self.unit.push(frame.bytes());
            return;
        }
        let joins =
            self.current.as_ref().is_some_and(|current| current.bound.as_ref() == Some(&name));
        if !joins {
            let detail = Detail {
                parsed: Some(found.statement.parsed.clone()),
                parameters: found.parameters.clone(),
                portal: Some(lossy(portal)),
                bound: found.bound,
                covered: found.covered.clone(),
                ..Detail::default()
            };
            let _as_it_was_bound = self.statement_span(Phase::Execute, detail);
        }
        if let Some(current) = &mut self.current {
            current.bound = None;
        }
        if self.machine.reads_rows(self.court.bench) && !self.described.contains(&name) {
            self.unit.push(&write::describe_portal(portal));
            let hidden = Awaited::DescribePortal { name: name.clone(), hidden: true };
            self.after.ledger.expect(hidden);
        }
        self.ran(&found.statement.parsed);
        self.unit.push(frame.bytes());
        let prepared = Some(Arc::clone(&found.statement));
        self.after.ledger.expect(Awaited::Execute { portal: name, prepared });
    }

    fn describe(&mut self, object: Object, name: &[u8], frame: &Frame) {
        self.join_or_control();
        self.unit.push(frame.bytes());
        let name = Bytes::copy_from_slice(name);
        match object {
            Object::Statement => {
                let prepared = self.statement(&name);
                self.after.ledger.expect(Awaited::DescribeStatement { prepared });
            }
            Object::Portal => {
                self.described.push(name.clone());
                self.after.ledger.expect(Awaited::DescribePortal { name, hidden: false });
            }
        }
    }

    fn close(&mut self, object: Object, name: &[u8], frame: &Frame) {
        self.join_or_control();
        self.unit.push(frame.bytes());
        let name = Bytes::copy_from_slice(name);
        match object {
            Object::Statement => {
                self.after.names.push(NameChange::Statement(name.clone(), None));
                self.after.ledger.expect(Awaited::CloseStatement { name });
            }
            Object::Portal => {
                self.after.names.push(NameChange::Portal(name.clone(), None));
                self.after.ledger.expect(Awaited::ClosePortal { name });
            }
        }
    }

    fn control(&mut self, frame: &Frame) {
        self.join_or_control();
        self.unit.push(frame.bytes());
        self.after.flushes = true;
        match frame.tag() {
            b'S' => {
                self.after.ledger.expect(Awaited::Sync);
                self.after.series = Some(Series::Ended);
            }
            b'X' => self.after.terminates = true,
            _ => {}
        }
    }

    /// Begins the span of a text; `None` when it may not pass as it is.
    fn text_span(&mut self, phase: Phase, text: &[u8], detail: Detail) -> Option<Parsed> {
        if let Some(reason) = self.machine.ambiguous_text(text) {
            let detail = Detail { unparsed: Some(lossy(text)), ..detail };
            self.refuse(phase, detail, "42501", reason);
            return None;
        }
        let Ok(text) = std::str::from_utf8(text) else {
            let detail = Detail { unparsed: Some(lossy(text)), ..detail };
            self.refuse(phase, detail, "22021", "the statement is not valid UTF-8");
            return None;
        };
        match self.machine.parse(text) {
            Ok(parsed) => {
                let detail = Detail { parsed: Some(parsed.clone()), ..detail };
                let _of_no_portal = self.statement_span(phase, detail);
                Some(parsed)
            }
            Err(error) => {
                let detail = Detail { unparsed: Some(text.to_owned()), ..detail };
                self.deny(phase, detail, Denial::Syntax(error));
                None
            }
        }
    }

    /// Begins the span of a statement; gives the approval that it runs with.
    fn statement_span(&mut self, phase: Phase, detail: Detail) -> Option<Covered> {
        let copies = detail.parsed.as_ref().is_some_and(|parsed| {
            phase != Phase::Parse && parsed.kinds().contains(&StatementKind::CopyIn)
        });
        let machine = &self.machine;
        let ground = Ground {
            who: machine.scribe.context(),
            // What ran before in this very unit counts, too.
            touched: machine.touched || machine.tx_status != b'I' || self.after.touches,
            startup: &machine.startup,
            reported: &machine.settings,
            leaves: &machine.leaves,
        };
        let moment = Moment {
            bench: self.court.bench,
            context: self.court.context,
            state: &self.state,
            state_version: self.state_version,
            ground,
            reads_only: machine.reads_only,
        };
        let (parsed, bound) = (detail.parsed.clone(), detail.bound);
        let judged = self.unit.statement(&moment, phase, detail);
        self.after.touches |= judged.touches && phase != Phase::Parse;
        if judged.shifts && phase != Phase::Parse {
            let text = parsed.as_ref().map_or("", Parsed::text);
            self.state.shift_meaning(text, bound.as_ref());
        }
        // Its own effect is part of what was approved.
        let meaning = self.state.meaning();
        let covered = judged.covered.clone().map(|covered| Covered { meaning, ..covered });
        if copies {
            self.after.copy = Some(CopyRun::of(&judged));
        }
        self.after.commands += 1;
        self.begin_span(&judged);
        covered
    }

    fn join_or_control(&mut self) {
        if self.current.is_none() {
            let judged = self.unit.control(self.court.bench, self.court.context);
            self.begin_span(&judged);
        }
    }

    fn refuse(&mut self, phase: Phase, detail: Detail, sqlstate: &'static str, reason: &str) {
        self.deny(phase, detail, Denial::Gateway { sqlstate, reason: reason.to_owned() });
    }

    fn deny(&mut self, phase: Phase, detail: Detail, denial: Denial) {
        let judged = self.unit.deny(self.court.bench, phase, detail, denial);
        self.begin_span(&judged);
    }

    fn begin_span(&mut self, judged: &Judged) {
        self.end_span();
        let command = OpenCommand {
            tally: Tally::new(judged.command_id, judged.plan.recording, self.court.now_us),
            bench: Arc::clone(self.court.bench),
            row_limit: judged.plan.row_limit,
            scrub: judged.plan.scrub_errors,
            skipped: false,
            shape: None,
        };
        let expects_from = self.after.ledger.expects.len();
        self.current = Some(Current { command, expects_from, bound: None });
    }

    fn end_span(&mut self) {
        if let Some(current) = self.current.take() {
            self.after.ledger.end_span(current.expects_from, Some(current.command));
        }
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

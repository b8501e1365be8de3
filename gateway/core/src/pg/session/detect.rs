//! Detectors on the way back: what they find in rows, in COPY data and in messages, and what that does to the statement.

use bytes::Bytes;
use tallyport_detect::Findings;
use tallyport_schemas::{Finding, FindingAction};

use super::shape::Kept;
use super::{Machine, Violation};
use crate::http;
use crate::pg::frame::{Frame, HEADER_BYTES};
use crate::pg::look::Looker;
use crate::pg::write::{ErrorReply, message};

/// The rule by which a statement is cancelled of which the rest may not pass.
const RULE: &str = "tallyport:detectors";

impl Machine {
    /// Puts on record what was found in the response that is on its way, or beside any.
    pub(super) fn found(&mut self, findings: &Findings) {
        let Some(screen) = self.screen.as_ref().filter(|_| !findings.is_empty()) else { return };
        let listed = http::listed(screen, findings);
        match self.pipe.open.front_mut() {
            Some(open) => open.tally.add_findings(&listed),
            None => self.batch.add_stray_findings(&listed),
        }
    }

    /// Fails the statement because of a row, of which nothing passes.
    pub(super) fn keep_back(&mut self, kept: &Kept, findings: &Findings) -> Result<(), Violation> {
        let reply = match kept {
            Kept::Found(column) => self.denied(&format!("column `{column}`"), findings),
            Kept::Unreadable(column, why) => {
                let what = format!("a value of column `{column}` cannot be looked into: {why}");
                ErrorReply::error("0A000", format!("tallyport: {what}"))
                    .hint("Ask for it in text format, or cast it to text.")
            }
        };
        self.stop(&reply, RULE)
    }

    fn denied(&self, place: &str, findings: &Findings) -> ErrorReply {
        let listed = self.screen.as_ref().map(|it| http::listed(it, findings)).unwrap_or_default();
        let kinds: Vec<String> = listed
            .iter()
            .filter(|it: &&Finding| it.action == FindingAction::Deny)
            .map(|it| format!("{} ({})", it.detector, it.count))
            .collect();
        let kinds = kinds.join(", ");
        ErrorReply::error("42501", format!("tallyport: {place} holds what may not pass: {kinds}"))
            .hint("Ask for rows or columns without it.")
    }

    /// Whether data of COPY must be read.
    pub(super) const fn looks_into_copy(&self) -> bool {
        self.screen.is_some() && !self.mute
    }

    pub(super) fn on_copy_out(&mut self, frame: &Frame) -> Result<(), Violation> {
        if self.screen.is_some() && frame.body().first() != Some(&0) && !self.mute {
            let what = "COPY in binary format cannot be looked into";
            let reply = ErrorReply::error("0A000", format!("tallyport: {what}"))
                .hint("Use FORMAT text or csv, or SELECT.");
            return self.stop(&reply, RULE);
        }
        self.put(false, frame.bytes())
    }

    pub(super) fn on_copy_data(&mut self, frame: &Frame) -> Result<(), Violation> {
        let Some(screen) = self.screen.as_ref().filter(|_| !self.mute) else {
            self.count_row();
            return self.put(true, frame.bytes());
        };
        let mut looker = Looker::new(screen);
        let line = looker.line(frame.body());
        let denies = looker.denies();
        let findings = looker.findings;
        self.found(&findings);
        if denies {
            let reply = self.denied("a line", &findings);
            return self.stop(&reply, RULE);
        }
        self.count_row();
        match line {
            Some(line) => self.put(true, &message(b'd', |out| out.extend_from_slice(&line))),
            None => self.put(true, frame.bytes()),
        }
    }

    /// A message that may come at any time. One that holds what may not pass is kept back, and the statement goes on: it is
    /// no part of its result.
    pub(super) fn pass_async(
        &mut self,
        kind: &str,
        tag: u8,
        bytes: &Bytes,
    ) -> Result<(), Violation> {
        let Some(screen) = &self.screen else { return self.put_async(kind, bytes) };
        let mut looker = Looker::new(screen);
        let body = bytes.get(HEADER_BYTES..).unwrap_or_default();
        let seen = match tag {
            b'A' => looker.notification(body)?,
            b'S' => looker.parameter_status(body)?,
            _ => looker.error(tag, body)?,
        };
        let denies = looker.denies();
        let findings = looker.findings;
        // A kind that passes with nothing is on record all the same.
        let passes = if denies { &[][..] } else { seen.as_deref().unwrap_or(bytes) };
        self.put_async(kind, passes)?;
        self.found(&findings);
        Ok(())
    }

    /// An error of the target.
    pub(super) fn seen_error(&mut self, frame: &Frame) -> Result<Bytes, Violation> {
        let bytes = self.scrub(frame)?;
        let Some(screen) = &self.screen else { return Ok(bytes) };
        let mut looker = Looker::new(screen);
        let seen = looker.error(frame.tag(), bytes.get(HEADER_BYTES..).unwrap_or_default())?;
        let findings = looker.findings;
        self.found(&findings);
        Ok(seen.unwrap_or(bytes))
    }
}

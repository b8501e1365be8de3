//! Rows on their way to the agent: described, masked, looked into, counted, limited.

use std::sync::Arc;

use super::pipe::Awaited;
use super::shape::Shape;
use super::{Machine, Violation};
use crate::passage::Bench;
use crate::pg::frame::Frame;
use crate::pg::write::ErrorReply;

impl Machine {
    /// Rows pass unread when no value of them is masked or looked into, and go nowhere behind an error of ours.
    pub(super) fn streams_rows(&self) -> bool {
        let Some(open) = self.pipe.open.front() else { return false };
        match (self.shape_of_rows(), self.reads_rows(&open.bench)) {
            _ if self.mute => true,
            (_, false) => true,
            (Some(shape), true) => !shape.is_read(),
            (None, true) => false,
        }
    }

    /// Whether rows pass with their description alone.
    pub(super) fn reads_rows(&self, bench: &Bench) -> bool {
        self.screen.is_some() || !bench.masks().is_empty()
    }

    /// The description of the rows that come now.
    fn shape_of_rows(&self) -> Option<&Arc<Shape>> {
        match &self.pipe.queue.front()?.awaited {
            Awaited::Execute { portal, .. } => self.shapes.get(portal),
            _ => self.pipe.open.front()?.shape.as_ref(),
        }
    }

    pub(super) fn on_result_begins(&mut self, frame: &Frame) -> Result<(), Violation> {
        if let Some(open) = self.pipe.open.front_mut() {
            let shape = Shape::read(frame.body(), &open.bench, self.screen.as_ref())?;
            open.tally.add_columns(&shape.columns);
            open.shape = Some(Arc::new(shape));
        }
        self.put(false, frame.bytes())
    }

    pub(super) fn on_row(&mut self, frame: &Frame) -> Result<(), Violation> {
        self.admit_row()?;
        if self.mute {
            return Ok(());
        }
        let shape = self.shape_of_rows().filter(|shape| shape.is_read());
        let Some(shape) = shape else {
            self.count_row();
            return self.put(true, frame.bytes());
        };
        let row = shape.seen(frame.body(), self.screen.as_ref())?;
        self.found(&row.findings);
        if let Some(kept) = &row.kept {
            return self.keep_back(kept, &row.findings);
        }
        if let Some(open) = self.pipe.open.front_mut() {
            open.tally.masked_values += row.masked_values;
        }
        self.count_row();
        self.put(true, row.bytes.as_ref().unwrap_or_else(|| frame.bytes()))
    }

    /// A row that is not read begins.
    pub(super) fn begin_row(&mut self) -> Result<(), Violation> {
        self.admit_row()?;
        self.count_row();
        Ok(())
    }

    /// Refuses a row where it may not pass: beyond the row limit, or without the description that it is read by.
    fn admit_row(&mut self) -> Result<(), Violation> {
        let described = self.shape_of_rows().is_some();
        let Some(open) = self.pipe.open.front() else {
            return Err(Violation::UnexpectedFromTarget { tag: b'D' });
        };
        if !described && self.reads_rows(&open.bench) {
            return Err(Violation::RowWithoutDescription);
        }
        match open.row_limit {
            Some(limit) if open.tally.rows >= limit && !self.mute => self.stop_at_row_limit(limit),
            _ => Ok(()),
        }
    }

    pub(super) fn count_row(&mut self) {
        if self.mute {
            return;
        }
        if let Some(open) = self.pipe.open.front_mut() {
            open.tally.count_row();
            self.stats.rows += 1;
        }
    }

    /// A part of a result that looks like the whole of it would mislead: the statement fails instead.
    fn stop_at_row_limit(&mut self, limit: u64) -> Result<(), Violation> {
        let reply = ErrorReply::error(
            "54000",
            format!("tallyport: the result has more than the {limit} rows that policy permits"),
        )
        .hint("Ask for fewer rows, for example with LIMIT.");
        self.stop(&reply, "tallyport:row_limit")
    }

    /// Fails the statement that is being answered, by a rule of the gateway's own: nothing more of it passes.
    pub(super) fn stop(&mut self, reply: &ErrorReply, rule: &'static str) -> Result<(), Violation> {
        self.put(false, &reply.to_bytes())?;
        if let Some(open) = self.pipe.open.front_mut() {
            open.fail(reply.sqlstate.to_owned());
        }
        self.mute = true;
        self.cancel_wanted = Some(rule);
        Ok(())
    }

    /// Puts the columns of an executed portal on record: as described for the portal, or for its statement.
    pub(super) fn name_columns(&mut self) {
        let Some(Awaited::Execute { portal, prepared }) =
            self.pipe.queue.front().map(|expect| &expect.awaited)
        else {
            return;
        };
        let described = self.shapes.get(portal).map(|shape| Arc::clone(&shape.columns));
        let columns = described.or_else(|| prepared.as_ref()?.columns.lock().clone());
        if let (Some(columns), Some(open)) = (columns, self.pipe.open.front_mut()) {
            open.tally.add_columns(&columns);
        }
    }
}

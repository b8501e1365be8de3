//! The way back: what the target says, through the masks, into batches for the agent.

use std::sync::Arc;

use bytes::Bytes;
use tallyport_schemas::ResponseStatus;

use super::pipe::{Awaited, Cycle, Expect, OpenCommand};
use super::shape::Shape;
use super::{Machine, TargetStep, Violation};
use crate::passage::batch::CHUNK_BYTES;
use crate::pg::backend;
use crate::pg::frame::{Frame, Handling, Piece};

impl Machine {
    /// Takes bytes from the target.
    pub fn target_bytes(&mut self, bytes: &[u8]) {
        self.target.extend(bytes);
    }

    /// Goes on with what the target said. `now_us` is the monotonic clock in microseconds.
    ///
    /// # Errors
    /// When the session must end. After [`Violation::UnknownOrigin`] it may be called once more with a fresher
    /// catalog ([`Machine::renew`]): the message waits.
    pub fn target_step(&mut self, now_us: u64) -> Result<TargetStep, Violation> {
        loop {
            self.answer_locally(now_us)?;
            if self.batch.wire_bytes() >= CHUNK_BYTES
                && let Some(batch) = self.flush()?
            {
                return Ok(TargetStep::Batch(batch));
            }
            let (streams_rows, streams_copy) = (self.streams_rows(), !self.looks_into_copy());
            let max_bytes = self.limits.max_row_bytes;
            let piece = match self.held_piece.take() {
                Some(piece) => piece,
                None => {
                    let next = self.target.next_piece(|tag| match tag {
                        b'd' if streams_copy => Handling::Stream,
                        b'D' if streams_rows => Handling::Stream,
                        _ => Handling::Whole(max_bytes),
                    });
                    match next.map_err(Violation::TargetFrame)? {
                        Some(piece) => piece,
                        None => return Ok(TargetStep::NeedMore),
                    }
                }
            };
            if let Err(violation) = self.on_piece(&piece, now_us) {
                if matches!(violation, Violation::UnknownOrigin { .. }) {
                    self.held_piece = Some(piece);
                }
                return Err(violation);
            }
        }
    }

    /// What waits for the agent, whether a chunk is full or not: to be called when the target has nothing more to
    /// read right now.
    ///
    /// # Errors
    /// When it cannot be recorded.
    pub fn flush(&mut self) -> Result<Option<super::MaskedResponse>, Violation> {
        let open = self.pipe.open.front_mut().map(|open| &mut open.tally);
        Ok(self.batch.seal(open, &mut self.scribe)?)
    }

    fn on_piece(&mut self, piece: &Piece, now_us: u64) -> Result<(), Violation> {
        match piece {
            Piece::Whole(frame) => self.on_frame(frame, now_us),
            Piece::Part { tag, bytes, first, .. } => {
                if *tag == b'D' && *first {
                    self.begin_row()?;
                }
                if *tag == b'd' && *first {
                    self.count_row();
                }
                self.put(*first, bytes)
            }
        }
    }

    fn on_frame(&mut self, frame: &Frame, now_us: u64) -> Result<(), Violation> {
        match frame.tag() {
            b'S' => {
                let (name, value) = backend::parameter_status(frame.body())?;
                self.settings.insert(name, value);
                return self.pass_async("parameter_status", frame.tag(), frame.bytes());
            }
            b'A' => return self.pass_async("notification", frame.tag(), frame.bytes()),
            b'N' => {
                let bytes = self.scrub(frame)?;
                return self.pass_async("notice", frame.tag(), &bytes);
            }
            b'E' => return self.on_error(frame, now_us),
            b'Z' => return self.on_ready(frame, now_us),
            _ => {}
        }
        let unexpected = Violation::UnexpectedFromTarget { tag: frame.tag() };
        let Some(expect) = self.pipe.queue.front() else { return Err(unexpected) };
        match (frame.tag(), &expect.awaited) {
            (b'1', Awaited::Parse { .. })
            | (b'2', Awaited::Bind { .. })
            | (b'3', Awaited::CloseStatement { .. } | Awaited::ClosePortal { .. }) => {
                self.put(false, frame.bytes())?;
                self.pop_answered(ResponseStatus::Ok, now_us)
            }
            (b't', Awaited::DescribeStatement { .. }) => self.put(false, frame.bytes()),
            (b'n' | b'T', Awaited::DescribeStatement { .. } | Awaited::DescribePortal { .. }) => {
                self.on_description(frame, now_us)
            }
            (b'T', Awaited::Query { .. }) => self.on_result_begins(frame),
            (b'D', Awaited::Query { .. } | Awaited::Execute { .. }) => self.on_row(frame),
            (b'C' | b'I', Awaited::Query { .. }) => self.on_statement_complete(frame),
            (b'C' | b'I' | b's', Awaited::Execute { .. }) => {
                self.on_execute_complete(frame, now_us)
            }
            (b'G', Awaited::Query { .. } | Awaited::Execute { .. }) => {
                self.put(false, frame.bytes())?;
                for ended in self.pipe.begin_copy_in() {
                    self.complete(ended, now_us)?;
                }
                Ok(())
            }
            (b'H', Awaited::Query { .. } | Awaited::Execute { .. }) => self.on_copy_out(frame),
            (b'd', Awaited::Query { .. } | Awaited::Execute { .. }) => self.on_copy_data(frame),
            (b'c', Awaited::Query { .. } | Awaited::Execute { .. }) => {
                self.put(false, frame.bytes())
            }
            _ => Err(unexpected),
        }
    }

    fn on_description(&mut self, frame: &Frame, now_us: u64) -> Result<(), Violation> {
        let shape = match (frame.tag(), self.pipe.open.front()) {
            (b'T', Some(open)) => {
                Some(Arc::new(Shape::read(frame.body(), &open.bench, self.screen.as_ref())?))
            }
            _ => None,
        };
        let mut hidden = false;
        if let Some(expect) = self.pipe.queue.front() {
            match &expect.awaited {
                Awaited::DescribePortal { name, hidden: asked_by_gateway } => {
                    hidden = *asked_by_gateway;
                    match shape {
                        Some(shape) => self.shapes.insert(name.clone(), shape),
                        None => self.shapes.remove(name),
                    };
                }
                Awaited::DescribeStatement { prepared: Some(prepared) } => {
                    *prepared.columns.lock() = shape.map(|shape| Arc::clone(&shape.columns));
                }
                _ => {}
            }
        }
        if !hidden {
            self.put(false, frame.bytes())?;
        }
        self.pop_answered(ResponseStatus::Ok, now_us)
    }

    fn on_statement_complete(&mut self, frame: &Frame) -> Result<(), Violation> {
        if let Some(open) = self.pipe.open.front_mut() {
            open.shape = None;
            if frame.tag() == b'C' {
                open.tally.add_tag(backend::command_tag(frame.body())?);
            }
        }
        self.put(false, frame.bytes())
    }

    fn on_execute_complete(&mut self, frame: &Frame, now_us: u64) -> Result<(), Violation> {
        self.name_columns();
        let status = match frame.tag() {
            b's' => ResponseStatus::Suspended,
            _ => ResponseStatus::Ok,
        };
        if let Some(open) = self.pipe.open.front_mut()
            && frame.tag() == b'C'
        {
            open.tally.add_tag(backend::command_tag(frame.body())?);
        }
        self.put(false, frame.bytes())?;
        self.pop_answered(status, now_us)
    }

    fn on_error(&mut self, frame: &Frame, now_us: u64) -> Result<(), Violation> {
        let own = self.pipe.queue.front_mut().and_then(|expect| expect.instead_of_error.take());
        let (bytes, sqlstate) = match own {
            Some((bytes, sqlstate)) => (bytes, sqlstate.to_owned()),
            None => (self.seen_error(frame)?, backend::sqlstate(frame.body())?),
        };
        let Some(expect) = self.pipe.queue.front() else {
            return self.put_async("error", &bytes);
        };
        self.cycle.failed = true;
        self.pipe.copying = false;
        let series_fails = !matches!(expect.awaited, Awaited::Query { .. } | Awaited::Sync);
        if matches!(expect.awaited, Awaited::Execute { .. }) {
            self.name_columns();
        }
        self.put(false, &bytes)?;
        if let Some(open) = self.pipe.open.front_mut() {
            open.shape = None;
            open.fail(sqlstate);
        }
        if series_fails {
            for ended in self.pipe.fail_series(&mut self.names) {
                self.complete(ended, now_us)?;
            }
        }
        Ok(())
    }

    fn on_ready(&mut self, frame: &Frame, now_us: u64) -> Result<(), Violation> {
        self.tx_status = backend::ready_status(frame.body())?;
        if self.tx_status == b'I' {
            // A transaction's end closes its portals.
            self.names.portals.clear();
        }
        self.shapes.clear();
        self.mute = false;
        match self.pipe.queue.front().map(|expect| &expect.awaited) {
            Some(Awaited::Query { .. } | Awaited::Sync) => {
                self.put(false, frame.bytes())?;
                self.pop_answered(ResponseStatus::Ok, now_us)?;
                self.settle_path();
                Ok(())
            }
            _ => Err(Violation::UnexpectedFromTarget { tag: b'Z' }),
        }
    }

    /// A `SET search_path` that ended well, outside a transaction and with nothing behind it, leaves one path.
    fn settle_path(&mut self) {
        let Cycle { ended, last, failed } = std::mem::take(&mut self.cycle);
        if let (b'I', 1, Some(parsed), false) = (self.tx_status, ended, last, failed)
            && self.pipe.is_drained()
        {
            self.state.settled(&parsed);
        }
    }

    /// The entry at the head has its answer.
    fn pop_answered(&mut self, status: ResponseStatus, now_us: u64) -> Result<(), Violation> {
        let Some(expect) = self.pipe.queue.pop_front() else { return Ok(()) };
        if let Some(open) = self.pipe.open.front_mut() {
            let undecided = open.tally.status == ResponseStatus::Interrupted && !open.skipped;
            let runs = matches!(expect.awaited, Awaited::Execute { .. });
            if runs || (expect.ends_command && undecided) {
                open.succeed(status);
            }
        }
        self.settle(&expect);
        if let Some(open) = self.pipe.finish_head(&expect) {
            self.complete(open, now_us)?;
        }
        Ok(())
    }

    fn settle(&mut self, expect: &Expect) {
        match &expect.awaited {
            Awaited::Query { parsed } => {
                self.cycle.ended += 1;
                self.cycle.last.clone_from(parsed);
            }
            Awaited::Execute { prepared, .. } => {
                self.cycle.ended += 1;
                self.cycle.last = prepared.as_ref().map(|prepared| prepared.parsed.clone());
            }
            Awaited::Parse { name, prepared: Some(prepared) } => {
                self.names.parsed(name, Arc::clone(prepared));
            }
            Awaited::Parse { name, prepared: None } | Awaited::CloseStatement { name } => {
                self.names.statement_closed(name);
            }
            Awaited::Bind { name, portal } => {
                self.shapes.remove(name);
                let _replaced = self.names.portals.confirm(name, portal.clone());
            }
            Awaited::ClosePortal { name } => {
                self.shapes.remove(name);
                let _closed = self.names.portals.confirm(name, None);
            }
            _ => {}
        }
    }

    pub(super) fn complete(&mut self, open: OpenCommand, now_us: u64) -> Result<(), Violation> {
        Ok(self.batch.complete(open.tally, now_us)?)
    }

    /// Answers that need no target, as soon as all before them are given.
    fn answer_locally(&mut self, now_us: u64) -> Result<(), Violation> {
        loop {
            let bytes: Bytes = match self.pipe.queue.front().map(|expect| &expect.awaited) {
                Some(Awaited::CopyEnd) => Bytes::new(),
                Some(Awaited::Local(bytes)) => bytes.clone(),
                _ => return Ok(()),
            };
            self.put(false, &bytes)?;
            let Some(expect) = self.pipe.queue.pop_front() else { return Ok(()) };
            if let Some(open) = self.pipe.finish_head(&expect) {
                self.complete(open, now_us)?;
            }
        }
    }

    pub(super) fn scrub(&self, frame: &Frame) -> Result<Bytes, Violation> {
        // What answers no command may tell of any.
        if self.pipe.open.front().map_or(self.masked, |open| open.scrub) {
            Ok(backend::scrubbed(frame.tag(), frame.body())?)
        } else {
            Ok(frame.bytes().clone())
        }
    }

    /// Bytes of the command at the head.
    pub(super) fn put(&mut self, begins_row: bool, bytes: &[u8]) -> Result<(), Violation> {
        if self.mute || bytes.is_empty() {
            return Ok(());
        }
        match self.pipe.open.front_mut() {
            Some(open) => self.batch.put(&mut open.tally, begins_row, bytes)?,
            None => self.batch.put_stray("answer", bytes, true)?,
        }
        Ok(())
    }

    /// Messages that may come at any time: part of the response that is on its way, or of none.
    pub(super) fn put_async(&mut self, kind: &str, bytes: &[u8]) -> Result<(), Violation> {
        match self.pipe.open.front_mut() {
            Some(open) => self.batch.put(&mut open.tally, false, bytes)?,
            None => self.batch.put_stray(kind, bytes, true)?,
        }
        Ok(())
    }
}

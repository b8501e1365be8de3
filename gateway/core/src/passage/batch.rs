//! The mint of [`Masked<Response>`](Masked): bytes for the agent, cut into events as they come.

use bytes::BytesMut;
use sha2::{Digest as _, Sha256};
use tallyport_schemas::{
    Body, CommandId, Content, ContentError, Finding, OutputColumn, Recording,
    Response as ResponseEvent, ResponseStatus, ResponseSummary, Session,
};

use super::{Masked, Response, Scribe};

/// The most bytes that one response event stands for.
pub const CHUNK_BYTES: usize = Content::MAX_BYTES;

/// Bytes for the agent and the events they make, until they are committed together. Events get their place in the
/// session when the batch is sealed: one that is thrown away leaves no hole.
#[derive(Debug, Default)]
pub struct Batch {
    bytes: BytesMut,
    bodies: Vec<Body>,
    piece: PieceMeter,
    stray_kinds: Vec<String>,
    stray_findings: Vec<Finding>,
}

/// What the piece that is being filled holds.
#[derive(Debug, Default)]
struct PieceMeter {
    from: usize,
    rows: u64,
    recorded_bytes: usize,
}

/// The sums of one command's response while it is on its way.
#[derive(Debug)]
pub struct Tally {
    command_id: CommandId,
    recording: Recording,
    recording_over: bool,
    started_us: u64,
    hasher: Option<Sha256>,
    chunks: u64,
    bytes: u64,
    /// Rows so far.
    pub rows: u64,
    /// Values that were masked so far.
    pub masked_values: u64,
    /// Command tags so far.
    pub tags: Vec<String>,
    /// The SQLSTATE of the first error.
    pub sqlstate: Option<String>,
    /// How it ended, as far as is known.
    pub status: ResponseStatus,
    /// The columns of its results.
    pub columns: Vec<OutputColumn>,
    findings: Vec<Finding>,
}

/// The most tags and columns that a summary names: a simple query may hold thousands of statements.
const MAX_NAMED: usize = 1_600;

impl Tally {
    /// Begins at `now_us`, the monotonic clock in microseconds.
    #[must_use]
    pub const fn new(command_id: CommandId, recording: Recording, now_us: u64) -> Self {
        Self {
            command_id,
            recording,
            recording_over: matches!(recording, Recording::Digest),
            started_us: now_us,
            hasher: None,
            chunks: 0,
            bytes: 0,
            rows: 0,
            masked_values: 0,
            tags: Vec::new(),
            sqlstate: None,
            status: ResponseStatus::Interrupted,
            columns: Vec::new(),
            findings: Vec::new(),
        }
    }

    /// Counts one row; from the first row beyond `head:N` on nothing more is recorded.
    pub const fn count_row(&mut self) {
        if let Recording::Head(rows) = self.recording
            && self.rows >= rows
        {
            self.recording_over = true;
        }
        self.rows += 1;
    }

    /// Adds a result's columns.
    pub fn add_columns(&mut self, columns: &[OutputColumn]) {
        let room = MAX_NAMED.saturating_sub(self.columns.len());
        self.columns.extend(columns.iter().take(room).cloned());
    }

    /// Adds what detectors found in it.
    pub fn add_findings(&mut self, findings: &[Finding]) {
        self.masked_values += crate::http::hidden(findings);
        merge(&mut self.findings, findings);
    }

    /// Adds a command tag.
    pub fn add_tag(&mut self, tag: String) {
        if self.tags.len() < MAX_NAMED {
            self.tags.push(tag);
        }
    }

    /// Its end, when nothing more of it passes.
    #[must_use]
    pub fn interrupted(mut self, now_us: u64) -> ResponseSummary {
        self.status = ResponseStatus::Interrupted;
        let wire_sha256 = hex::encode(Sha256::digest([]));
        let wire = bytes::Bytes::new();
        self.summary(
            PieceRecord { wire, wire_bytes: 0, wire_sha256, content: None, rows: 0 },
            now_us,
        )
    }

    fn summary(mut self, piece: PieceRecord, now_us: u64) -> ResponseSummary {
        let sha256 = self.digest(&piece);
        ResponseSummary {
            command_id: self.command_id,
            status: self.status,
            tag: (!self.tags.is_empty()).then(|| self.tags.join("; ")),
            sqlstate: self.sqlstate,
            rows: self.rows,
            bytes: self.bytes + piece.wire_bytes,
            sha256,
            columns: self.columns,
            masked_values: self.masked_values,
            recording: self.recording,
            chunks: self.chunks + 1,
            wire_bytes: piece.wire_bytes,
            wire_sha256: piece.wire_sha256,
            content: piece.content,
            duration_us: now_us.saturating_sub(self.started_us),
            findings: self.findings,
        }
    }

    /// SHA-256 over all pieces; the only piece's own where there is but one.
    fn digest(&mut self, last: &PieceRecord) -> String {
        match self.hasher.take() {
            None => last.wire_sha256.clone(),
            Some(mut hasher) => {
                hasher.update(&last.wire);
                hex::encode(hasher.finalize())
            }
        }
    }
}

struct PieceRecord {
    wire: bytes::Bytes,
    wire_bytes: u64,
    wire_sha256: String,
    content: Option<Content>,
    rows: u64,
}

impl Batch {
    /// Adds bytes of the command that `tally` counts; closes a piece whenever it is full.
    ///
    /// # Errors
    /// When a piece cannot be recorded: then nothing of the batch may pass.
    pub fn put(
        &mut self,
        tally: &mut Tally,
        begins_row: bool,
        mut bytes: &[u8],
    ) -> Result<(), ContentError> {
        self.close_stray()?;
        self.piece.rows += u64::from(begins_row);
        while !bytes.is_empty() {
            let room = CHUNK_BYTES - self.piece_bytes();
            let (now, later) = bytes.split_at_checked(room).unwrap_or((bytes, &[]));
            self.bytes.extend_from_slice(now);
            if !tally.recording_over {
                self.piece.recorded_bytes += now.len();
            }
            bytes = later;
            if self.piece_bytes() == CHUNK_BYTES {
                self.close_chunk(tally)?;
            }
        }
        Ok(())
    }

    /// Ends the response that `tally` counts, with what of it is not in an event yet.
    ///
    /// # Errors
    /// When the piece cannot be recorded.
    pub fn complete(&mut self, tally: Tally, now_us: u64) -> Result<(), ContentError> {
        self.close_stray()?;
        let piece = self.take_piece()?;
        self.add_summary(tally.summary(piece, now_us));
        Ok(())
    }

    /// Adds the end of a response of which nothing more passes.
    pub fn add_summary(&mut self, summary: ResponseSummary) {
        self.bodies.push(Body::Response(Box::new(ResponseEvent::Completed(summary))));
    }

    /// The responses that were to end with this batch, which is thrown away: they never reached the agent whole. Their
    /// counts and digest stay those of the target's whole answer.
    pub fn into_interrupted(self) -> Vec<ResponseSummary> {
        let summary = |body| match body {
            Body::Response(response) => match *response {
                ResponseEvent::Completed(summary) => Some(summary),
                _ => None,
            },
            _ => None,
        };
        let interrupted = |summary: ResponseSummary| ResponseSummary {
            status: ResponseStatus::Interrupted,
            bytes: summary.bytes.saturating_sub(summary.wire_bytes),
            wire_bytes: 0,
            wire_sha256: hex::encode(Sha256::digest([])),
            content: None,
            ..summary
        };
        self.bodies.into_iter().filter_map(summary).map(interrupted).collect()
    }

    /// Adds bytes that answer no command.
    ///
    /// # Errors
    /// When they cannot be recorded.
    pub fn put_stray(
        &mut self,
        kind: &str,
        bytes: &[u8],
        recorded: bool,
    ) -> Result<(), ContentError> {
        if !self.stray_kinds.iter().any(|known| known == kind) {
            self.stray_kinds.push(kind.to_owned());
        }
        for part in bytes.chunks(CHUNK_BYTES) {
            if self.piece_bytes() + part.len() > CHUNK_BYTES {
                self.close_stray()?;
                self.stray_kinds.push(kind.to_owned());
            }
            self.bytes.extend_from_slice(part);
            if recorded {
                self.piece.recorded_bytes += part.len();
            }
        }
        Ok(())
    }

    /// Adds what detectors found in bytes that answer no command.
    pub fn add_stray_findings(&mut self, findings: &[Finding]) {
        merge(&mut self.stray_findings, findings);
    }

    /// Adds the event of the session's end: it is durable before the farewell passes.
    ///
    /// # Errors
    /// When the farewell before it cannot be recorded.
    pub fn end_session(&mut self, end: Session) -> Result<(), ContentError> {
        self.close_stray()?;
        self.bodies.push(Body::Session(end));
        Ok(())
    }

    /// How many bytes wait.
    #[must_use]
    pub fn wire_bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to commit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.bodies.is_empty()
    }

    /// What passes together. `open` counts the response whose bytes stand last and go on later.
    ///
    /// # Errors
    /// When a piece cannot be recorded: then nothing passes.
    pub fn seal(
        &mut self,
        open: Option<&mut Tally>,
        scribe: &mut Scribe,
    ) -> Result<Option<Masked<Response>>, ContentError> {
        self.close_stray()?;
        if self.piece_bytes() > 0
            && let Some(tally) = open
        {
            self.close_chunk(tally)?;
        }
        if self.is_empty() {
            return Ok(None);
        }
        let batch = std::mem::take(self);
        let value = Response { bytes: batch.bytes.freeze() };
        let drafts = batch.bodies.into_iter().map(|body| scribe.draft(body)).collect();
        Ok(Some(Masked { value, drafts }))
    }

    fn piece_bytes(&self) -> usize {
        self.bytes.len() - self.piece.from
    }

    fn close_chunk(&mut self, tally: &mut Tally) -> Result<(), ContentError> {
        let piece = self.take_piece()?;
        tally.hasher.get_or_insert_default().update(&piece.wire);
        let chunk = ResponseEvent::Chunk {
            command_id: Some(tally.command_id),
            chunk: tally.chunks,
            rows: piece.rows,
            wire_bytes: piece.wire_bytes,
            wire_sha256: piece.wire_sha256,
            content: piece.content,
        };
        tally.chunks += 1;
        tally.bytes += piece.wire_bytes;
        self.bodies.push(Body::Response(Box::new(chunk)));
        Ok(())
    }

    fn close_stray(&mut self) -> Result<(), ContentError> {
        if self.stray_kinds.is_empty() {
            return Ok(());
        }
        let kinds = std::mem::take(&mut self.stray_kinds);
        let findings = std::mem::take(&mut self.stray_findings);
        let piece = self.take_piece()?;
        let stray = ResponseEvent::Unsolicited {
            kinds,
            wire_bytes: piece.wire_bytes,
            wire_sha256: piece.wire_sha256,
            content: piece.content,
            findings,
        };
        self.bodies.push(Body::Response(Box::new(stray)));
        Ok(())
    }

    fn take_piece(&mut self) -> Result<PieceRecord, ContentError> {
        let meter = std::mem::take(&mut self.piece);
        self.piece.from = self.bytes.len();
        let wire = self.bytes.get(meter.from..).unwrap_or_default();
        let wire_bytes = wire.len() as u64;
        let content = match wire.get(..meter.recorded_bytes) {
            Some(recorded) if !recorded.is_empty() => Some(Content::record(recorded)?),
            _ => None,
        };
        let wire_sha256 = match &content {
            Some(content) if content.bytes == wire_bytes => content.sha256.clone(),
            _ => hex::encode(Sha256::digest(wire)),
        };
        let wire = bytes::Bytes::copy_from_slice(wire);
        Ok(PieceRecord { wire, wire_bytes, wire_sha256, content, rows: meter.rows })
    }
}

/// As many as there are detectors at most.
fn merge(all: &mut Vec<Finding>, more: &[Finding]) {
    for one in more {
        match all.iter_mut().find(|it| it.detector == one.detector) {
            Some(known) => known.count = known.count.saturating_add(one.count),
            None => all.push(one.clone()),
        }
    }
}

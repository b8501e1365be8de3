//! One text that comes in chunks.

use crate::findings::Findings;
use crate::kind::Kinds;
use crate::screen::{Masked, Screen};
use crate::settle::Settle;

/// Bytes of a chunk that are taken at a time: what bounds the buffer, whatever the chunk is.
const STEP_BYTES: usize = 64 * 1024;

/// Bytes that may be spent before the buffer is moved: small chunks would else move the tail each time.
const SPENT_BYTES: usize = 16 * 1024;

/// Masks one text that comes in chunks. Output and findings are those of [`Screen::mask`] on the whole text, wherever it
/// is cut.
///
/// # Latency
/// A byte comes out when everything that may decide on it was seen: [`LOOK_AHEAD`](crate::LOOK_AHEAD) +
/// [`REACH_BEHIND`](crate::REACH_BEHIND) bytes after it at the latest, and with [`Self::finish`]. An interactive stream
/// calls [`Self::flush`] when its source pauses.
///
/// # Memory
/// The held tail, and one step of 64 KiB.
#[derive(Debug)]
pub struct Stream {
    screen: Screen,
    given: Kinds,
    buffer: Buffer,
    settle: Settle,
    findings: Findings,
}

/// Content, which `Debug` does not show.
#[derive(Default)]
struct Buffer(Vec<u8>);

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

impl Stream {
    pub(crate) fn new(screen: Screen, given: Kinds) -> Self {
        let (buffer, settle) = (Buffer::default(), Settle::default());
        Self { screen, given, buffer, settle, findings: Findings::default() }
    }

    /// Takes a chunk, and appends to `out` what is settled.
    pub fn push(&mut self, chunk: &[u8], out: &mut Vec<u8>) {
        for piece in chunk.chunks(STEP_BYTES) {
            self.buffer.0.extend_from_slice(piece);
            let parts = self.screen.parts();
            let mut sink = Masked { parts, out: &mut *out, findings: &mut self.findings };
            self.settle.step(&parts.search(self.given), &self.buffer.0, false, &mut sink);
            self.forget();
        }
    }

    /// Releases what is held as if the text paused for good, and goes on with the same text afterwards.
    ///
    /// For interactive streams, best after a line break: no kind but a private key goes over one, and a key whose first
    /// line was seen stays hidden or held. What an early release loses: a value that is cut by it is only seen if its
    /// parts are by themselves, and context that follows its value comes too late.
    pub fn flush(&mut self, out: &mut Vec<u8>) {
        let view = &self.buffer.0;
        let parts = self.screen.parts();
        let until = parts.detectors.finder().undecided(view);
        let mut sink = Masked { parts, out, findings: &mut self.findings };
        self.settle.release(&parts.search(self.given), view, until, &mut sink);
        self.forget();
    }

    /// The text is over: appends the rest to `out`. The stream is then ready for another text; its findings go on.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let parts = self.screen.parts();
        let mut sink = Masked { parts, out, findings: &mut self.findings };
        self.settle.step(&parts.search(self.given), &self.buffer.0, true, &mut sink);
        self.buffer.0.clear();
        self.settle = Settle::default();
    }

    /// What was found so far. [`Action::Deny`](crate::Action::Deny): what came out last must not be passed on.
    #[must_use]
    pub const fn findings(&self) -> &Findings {
        &self.findings
    }

    /// Bytes that were pushed and are not out yet.
    #[must_use]
    pub fn held(&self) -> usize {
        self.settle.held(self.buffer.0.len())
    }

    fn forget(&mut self) {
        let spent = self.settle.spent();
        if spent >= SPENT_BYTES {
            self.buffer.0.drain(..spent);
            self.settle.shift(spent);
        }
    }
}

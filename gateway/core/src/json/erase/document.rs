//! A document that comes in pieces.

use super::pass::{Pass, Reading, Stop};
use super::{BadJson, Eraser};

/// One document, of which the rest is still to come. What is known not to be hidden is there before its end.
#[derive(Debug)]
pub struct Document {
    reading: Reading,
    /// The beginning of a token, or of a value that is hidden whole.
    rest: Vec<u8>,
    /// No use in looking again before there is as much: the beginning of a long one would be read once for every piece.
    again_at: usize,
    /// With as much it is always looked at: what waits then is of one value.
    max: usize,
    /// How much of it was read before.
    passed: usize,
}

impl Document {
    /// Nothing of it has come yet; the rules are those of this eraser. Where more than `max` bytes wait, one value of it has as many.
    #[must_use]
    pub fn new(eraser: &Eraser<'_>, max: usize) -> Self {
        let reading = Reading::of(eraser.rules.len(), 0);
        Self { reading, rest: Vec::new(), again_at: 0, max, passed: 0 }
    }

    /// Takes the next piece of it, and appends to `out` what may be seen by now.
    ///
    /// # Errors
    /// [`BadJson`]: nothing more of it may pass.
    pub fn feed(
        &mut self,
        eraser: &mut Eraser<'_>,
        piece: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), BadJson> {
        self.rest.extend_from_slice(piece);
        if self.rest.len() < self.again_at.min(self.max) {
            return Ok(());
        }
        self.go_on(eraser, false, out)?;
        self.again_at = self.rest.len() * 2;
        Ok(())
    }

    /// It is over: the rest of it.
    ///
    /// # Errors
    /// [`BadJson`]: it is not whole.
    pub fn finish(&mut self, eraser: &mut Eraser<'_>, out: &mut Vec<u8>) -> Result<(), BadJson> {
        self.go_on(eraser, true, out)
    }

    /// How many bytes wait for what follows them.
    #[must_use]
    pub fn held(&self) -> usize {
        self.rest.len()
    }

    /// Whether nothing of it has come.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.passed == 0 && self.rest.is_empty()
    }

    fn go_on(
        &mut self,
        eraser: &mut Eraser<'_>,
        is_whole: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), BadJson> {
        let (input, from) = (&self.rest, self.passed);
        let mut pass = Pass { eraser, input, at: 0, out, is_whole, from };
        let ran = pass.run(&mut self.reading);
        let at = pass.at;
        match ran {
            Ok(()) if at < self.rest.len() => return Err(BadJson::Syntax(from + at)),
            Ok(()) | Err(Stop::More) => {}
            Err(Stop::Bad(why)) => return Err(why),
        }
        self.rest.drain(..at);
        self.passed += at;
        Ok(())
    }
}

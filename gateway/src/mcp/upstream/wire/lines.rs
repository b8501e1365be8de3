//! What a child writes, line by line; a line has its bounds.

use tokio::io::{AsyncBufRead, AsyncBufReadExt as _};

/// Reads lines of at most so many bytes.
#[derive(Debug)]
pub(super) struct Lines<R> {
    from: R,
    max_bytes: usize,
    line: Vec<u8>,
    /// What is left of a line that was too long is not read.
    skips: bool,
}

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Whole(Vec<u8>),
    /// Its first bytes; the rest is skipped.
    TooLong(Vec<u8>),
}

impl<R: AsyncBufRead + Unpin> Lines<R> {
    pub(super) const fn new(from: R, max_bytes: usize) -> Self {
        Self { from, max_bytes, line: Vec::new(), skips: false }
    }

    /// The next one; none where there are no more. What has no end is no line.
    ///
    /// # Cancel safety
    /// Cancel safe: what was read is kept.
    pub(super) async fn next(&mut self) -> std::io::Result<Option<Line>> {
        loop {
            let piece = self.from.fill_buf().await?;
            if piece.is_empty() {
                return Ok(None);
            }
            let end = piece.iter().position(|byte| *byte == b'\n');
            let (has, taken) = (piece.get(..end.unwrap_or(piece.len())), end.map(|end| end + 1));
            let (has, taken) = (has.unwrap_or_default(), taken.unwrap_or(piece.len()));
            let (skipped, room) = (self.skips, self.max_bytes - self.line.len());
            let is_too_long = !skipped && has.len() > room;
            if !skipped {
                self.line.extend(has.iter().take(room));
            }
            self.from.consume(taken);
            if is_too_long {
                self.skips = end.is_none();
                return Ok(Some(Line::TooLong(std::mem::take(&mut self.line))));
            }
            if end.is_some() {
                self.skips = false;
                if !skipped {
                    return Ok(Some(Line::Whole(std::mem::take(&mut self.line))));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_read_however_they_are_cut() {
        let text = b"one\n\n12345678\n123456789 and more\nlast\nno end";
        for size in [1, 2, 7, text.len()] {
            let reader = tokio::io::BufReader::with_capacity(size, &text[..]);
            let mut lines = Lines::new(reader, 8);
            let mut found = Vec::new();
            while let Some(line) = lines.next().await.unwrap() {
                found.push(line);
            }
            let whole = |text: &str| Line::Whole(text.into());
            let want = [
                whole("one"),
                whole(""),
                whole("12345678"),
                Line::TooLong(b"12345678".to_vec()),
                whole("last"),
            ];
            assert_eq!(found, want, "{size}");
        }
    }

    #[tokio::test]
    async fn an_endless_line_is_told_at_its_bound() {
        let endless = tokio::io::BufReader::new(tokio::io::repeat(b'x'));
        let mut lines = Lines::new(endless, 64);
        assert_eq!(lines.next().await.unwrap(), Some(Line::TooLong(vec![b'x'; 64])));
    }
}

//! Recorded bytes of the PostgreSQL protocol as lines that people read.

use std::collections::HashMap;

use tallyport_schemas::{CommandId, Content};

use super::ReplayError;
use crate::pg::backend;
use crate::pg::frame::HEADER_BYTES;

/// One direction of a session.
#[derive(Debug, Default)]
pub struct Wire {
    /// At most so many rows of each result.
    limit: usize,
    /// Names of the columns of a response, for rows that come without a description of their own.
    columns: HashMap<CommandId, Vec<String>>,
    /// What the present messages belong to.
    of: Option<CommandId>,
    /// Rows of the present result, shown or not.
    rows: usize,
    /// Whether the present rows have their columns named.
    described: bool,
    /// Bytes of a message that goes on in the next chunk.
    partial: Vec<u8>,
    /// The beginning of a line of COPY that goes on in the next message.
    copied: Vec<u8>,
}

impl Wire {
    /// Shows at most `limit` rows of each result.
    pub fn new(limit: usize, columns: HashMap<CommandId, Vec<String>>) -> Self {
        Self { limit, columns, ..Self::default() }
    }

    /// The lines of a chunk that belongs to this command. A message may begin in one chunk and end in the next.
    pub fn lines(
        &mut self,
        of: Option<CommandId>,
        content: Option<&Content>,
    ) -> Result<Vec<String>, ReplayError> {
        // A notice may come between the pieces of a response.
        if of.is_some() && self.of != of {
            (self.of, self.rows, self.described) = (of, 0, false);
        }
        let Some(content) = content else {
            self.partial.clear();
            return Ok(vec!["(not recorded: digest and counts only)".to_owned()]);
        };
        self.partial.extend(content.replay()?);
        let bytes = std::mem::take(&mut self.partial);
        let mut lines = Vec::new();
        let mut rest = bytes.as_slice();
        while let Some((tag, length)) = header(rest)
            && let Some((message, after)) = rest.split_at_checked(length + 1)
        {
            self.message(tag, message.get(HEADER_BYTES..).unwrap_or_default(), &mut lines);
            rest = after;
        }
        self.partial = rest.to_vec();
        Ok(lines)
    }

    fn message(&mut self, tag: u8, body: &[u8], lines: &mut Vec<String>) {
        match tag {
            b'T' => {
                if let Ok(fields) = backend::row_description(body) {
                    self.rows = 0;
                    self.described = true;
                    let names: Vec<_> = fields.iter().map(|field| clean(&field.name)).collect();
                    lines.push(names.join(" | "));
                }
            }
            b'D' => {
                if let Ok(values) = backend::data_row(body) {
                    self.name_columns(lines);
                    let values = values.iter().map(|value| value.map_or_else(null, shown));
                    self.row(values.collect::<Vec<_>>().join(" | "), lines);
                }
            }
            b'd' => self.copy_data(body, lines),
            // The end of COPY, whichever side said it.
            b'c' => self.copy_ends(lines),
            b'f' => {
                self.copied.clear();
                let reason = body.strip_suffix(b"\0").unwrap_or(body);
                lines.push(format!("(given up: {})", shown(reason)));
            }
            b'E' | b'N' => {
                let fields = backend::error_fields(body).unwrap_or_default();
                let message = fields.iter().find(|(code, _)| *code == b'M');
                lines.extend(message.map(|(_, text)| shown(text)));
            }
            _ => {}
        }
    }

    /// In the extended protocol the description came with an earlier command, or never.
    fn name_columns(&mut self, lines: &mut Vec<String>) {
        if !std::mem::replace(&mut self.described, true) {
            let names = self.of.as_ref().and_then(|of| self.columns.get(of));
            lines.extend(
                names.map(|names| {
                    names.iter().map(|name| clean(name)).collect::<Vec<_>>().join(" | ")
                }),
            );
        }
    }

    /// Messages of COPY are cut anywhere; what people read are its lines.
    fn copy_data(&mut self, body: &[u8], lines: &mut Vec<String>) {
        self.copied.extend(body);
        let copied = std::mem::take(&mut self.copied);
        let mut rest = copied.as_slice();
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            self.row(shown(line.strip_suffix(b"\r").unwrap_or(line)), lines);
            rest = after.get(1..).unwrap_or_default();
        }
        self.copied = rest.to_vec();
    }

    fn copy_ends(&mut self, lines: &mut Vec<String>) {
        let rest = std::mem::take(&mut self.copied);
        if !rest.is_empty() {
            self.row(shown(&rest), lines);
        }
        self.rows = 0;
    }

    fn row(&mut self, text: String, lines: &mut Vec<String>) {
        self.rows += 1;
        if self.rows <= self.limit {
            lines.push(text);
        } else if self.rows == self.limit.saturating_add(1) {
            lines.push("... (more rows: --rows 0 shows all)".to_owned());
        }
    }
}

/// Tag and length of the first message, once its header is there.
fn header(bytes: &[u8]) -> Option<(u8, usize)> {
    let tag = *bytes.first()?;
    let length = bytes.get(1..HEADER_BYTES)?.try_into().ok()?;
    Some((tag, u32::from_be_bytes(length) as usize))
}

fn null() -> String {
    "NULL".to_owned()
}

/// A value in text, or in hexadecimal where it is none (the binary formats).
fn shown(value: &[u8]) -> String {
    let is_text = |text: &&str| text.chars().all(|c| !c.is_control() || c.is_ascii_whitespace());
    match std::str::from_utf8(value).ok().filter(is_text) {
        Some(text) => clean(text),
        None => value.iter().fold("\\x".to_owned(), |out, byte| out + &format!("{byte:02x}")),
    }
}

/// Nothing that a terminal would obey.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\t' { '·' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tag: u8, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(body.len() + 4).unwrap().to_be_bytes();
        [&[tag], length.as_slice(), body].concat()
    }

    fn row(value: &[u8]) -> Vec<u8> {
        let length = u32::try_from(value.len()).unwrap().to_be_bytes();
        message(b'D', &[&[0, 1], length.as_slice(), value].concat())
    }

    fn lines(wire: &mut Wire, of: CommandId, bytes: &[u8]) -> Vec<String> {
        let content = Content::record(bytes).unwrap();
        wire.lines(Some(of), Some(&content)).unwrap()
    }

    #[test]
    fn copy_is_shown_line_by_line_however_it_is_cut() {
        let bytes =
            [message(b'd', b"1\ta\n2"), message(b'd', b"\tb\n"), message(b'c', b"")].concat();
        for cut in 0..bytes.len() {
            let mut wire = Wire::new(20, HashMap::new());
            let of = CommandId::new();
            let (head, tail) = bytes.split_at(cut);
            let shown = [lines(&mut wire, of, head), lines(&mut wire, of, tail)].concat();
            assert_eq!(shown, ["1\ta", "2\tb"], "cut at {cut}");
        }
    }

    #[test]
    fn copy_is_limited_as_rows_are() {
        let mut wire = Wire::new(1, HashMap::new());
        let shown = lines(&mut wire, CommandId::new(), &message(b'd', b"1\n2\n3\n"));
        assert_eq!(shown, ["1", "... (more rows: --rows 0 shows all)"]);
    }

    #[test]
    fn rows_without_a_description_have_the_columns_of_the_summary() {
        let of = CommandId::new();
        let mut wire = Wire::new(20, HashMap::from([(of, vec!["ssn".to_owned()])]));
        assert_eq!(lines(&mut wire, of, &row(b"***-01")), ["ssn", "***-01"]);
        assert_eq!(lines(&mut wire, of, &row(b"***-02")), ["***-02"]);
        assert_eq!(lines(&mut wire, CommandId::new(), &row(b"x")), ["x"]);
    }

    #[test]
    fn nothing_is_shown_that_a_terminal_would_obey() {
        assert_eq!(shown(b"a\nb"), "a·b");
        assert_eq!(shown(b"\x1b[31m"), "\\x1b5b33316d");
        assert_eq!(shown(&[0, 0, 0, 7]), "\\x00000007");
    }
}

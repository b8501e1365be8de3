//! The client's side of a session for callers of the gateway's own: one statement by the extended protocol, all values as
//! text. What it says goes the way of every session; what it hears has passed the masks.

use bytes::{BufMut as _, Bytes, BytesMut};

use super::backend::{self, Field};
use super::frame::{Decoder, FrameError, Handling, Piece};
use super::read::Malformed;
use super::write::{put_cstr, put_message};

/// The longest row that is taken.
pub const MAX_ROW_BYTES: usize = 2 * 1024 * 1024;
/// The protocol's version 3.0.
const VERSION: i32 = 3 << 16;

/// A StartupMessage.
#[must_use]
pub fn startup(parameters: &[(&str, &str)]) -> Bytes {
    let mut body = BytesMut::new();
    body.put_i32(VERSION);
    for (name, value) in parameters {
        put_cstr(&mut body, name.as_bytes());
        put_cstr(&mut body, value.as_bytes());
    }
    body.put_u8(0);
    let mut bytes = BytesMut::new();
    // Made of settings of ours and of a name that an issuer bounds: far below 2 GiB.
    bytes.put_i32(i32::try_from(body.len() + 4).unwrap_or(i32::MAX));
    bytes.extend_from_slice(&body);
    bytes.freeze()
}

/// Parses, binds, describes and runs a statement, as the unnamed statement and portal: whole, to the end of its transaction,
/// or its first `page_rows`, and then the portal stays where rows are left, and [`more`] goes on with it.
#[must_use]
pub fn statement(text: &str, values: &[Option<String>], page_rows: Option<u32>) -> Bytes {
    let mut bytes = BytesMut::new();
    put_message(&mut bytes, b'P', |body| {
        put_cstr(body, b"");
        put_cstr(body, text.as_bytes());
        body.put_u16(0);
    });
    put_message(&mut bytes, b'B', |body| {
        body.extend_from_slice(&[0, 0]);
        body.put_u16(0);
        // Callers bound the number of values.
        body.put_u16(u16::try_from(values.len()).unwrap_or(u16::MAX));
        for value in values {
            match value {
                None => body.put_i32(-1),
                Some(value) => {
                    body.put_i32(i32::try_from(value.len()).unwrap_or(i32::MAX));
                    body.extend_from_slice(value.as_bytes());
                }
            }
        }
        body.put_u16(0);
    });
    put_message(&mut bytes, b'D', |body| body.extend_from_slice(b"P\0"));
    put_execute(&mut bytes, page_rows);
    bytes.freeze()
}

/// The next rows of the portal that was left.
#[must_use]
pub fn more(page_rows: u32) -> Bytes {
    let mut bytes = BytesMut::new();
    put_execute(&mut bytes, Some(page_rows));
    bytes.freeze()
}

/// Ends the series: what it held is let go.
#[must_use]
pub fn sync() -> Bytes {
    let mut bytes = BytesMut::new();
    put_message(&mut bytes, b'S', |_| {});
    bytes.freeze()
}

/// Says goodbye.
#[must_use]
pub fn terminate() -> Bytes {
    let mut bytes = BytesMut::new();
    put_message(&mut bytes, b'X', |_| {});
    bytes.freeze()
}

fn put_execute(bytes: &mut BytesMut, page_rows: Option<u32>) {
    put_message(bytes, b'E', |body| {
        body.put_u8(0);
        body.put_u32(page_rows.unwrap_or(0));
    });
    // Flush or Sync.
    put_message(bytes, if page_rows.is_some() { b'H' } else { b'S' }, |_| {});
}

/// What a session says to its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It waits for the next series.
    Ready,
    /// The columns of the result.
    Columns(Vec<Field>),
    /// The result has none.
    NoColumns,
    /// One row, in text.
    Row(Vec<Option<Bytes>>),
    /// Rows are left.
    Suspended,
    /// The statement is done.
    Complete(String),
    /// The statement failed, or the session did.
    Failed(Failure),
    /// COPY: nothing of it is for this client.
    Copies,
}

/// An ErrorResponse.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failure {
    /// Five characters (PostgreSQL documentation, appendix A).
    pub sqlstate: String,
    /// What happened.
    pub message: String,
    /// More of it.
    pub detail: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub position: Option<u32>,
    /// The session is over.
    pub is_fatal: bool,
}

/// What came is not what a session says.
#[derive(Debug, thiserror::Error)]
pub enum NotHeard {
    /// No frames, or one that is too long.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame that does not have its form.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// Reads what a session says.
#[derive(Debug, Default)]
pub struct Listener {
    decoder: Decoder,
}

impl Listener {
    /// Takes bytes as they came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.decoder.extend(bytes);
    }

    /// The next that matters to who asked; `None` when more bytes are needed. Notices and settings are passed over.
    ///
    /// # Errors
    /// When the bytes are no session's; the listener is of no use afterwards.
    pub fn hear(&mut self) -> Result<Option<Heard>, NotHeard> {
        while let Some(piece) = self.decoder.next_piece(|_| Handling::Whole(MAX_ROW_BYTES))? {
            let Piece::Whole(frame) = piece else { continue };
            let body = frame.body();
            let heard = match frame.tag() {
                b'Z' => Heard::Ready,
                b'T' => Heard::Columns(backend::row_description(body)?),
                b'n' => Heard::NoColumns,
                b'D' => Heard::Row(row(&backend::data_row(body)?)),
                b's' => Heard::Suspended,
                b'C' => Heard::Complete(backend::command_tag(body)?),
                b'I' => Heard::Complete(String::new()),
                b'E' => Heard::Failed(failure(body)?),
                b'G' | b'H' | b'W' => Heard::Copies,
                _ => continue,
            };
            return Ok(Some(heard));
        }
        Ok(None)
    }
}

fn row(values: &[Option<&[u8]>]) -> Vec<Option<Bytes>> {
    values.iter().map(|value| value.map(Bytes::copy_from_slice)).collect()
}

fn failure(body: &[u8]) -> Result<Failure, Malformed> {
    let mut failure = Failure::default();
    for (code, value) in backend::error_fields(body)? {
        let text = String::from_utf8_lossy(value).into_owned();
        match code {
            b'V' => failure.is_fatal = text == "FATAL" || text == "PANIC",
            b'C' => failure.sqlstate = text,
            b'M' => failure.message = text,
            b'D' => failure.detail = Some(text),
            b'H' => failure.hint = Some(text),
            b'P' => failure.position = text.parse().ok(),
            _ => {}
        }
    }
    Ok(failure)
}

#[cfg(test)]
mod tests {
    use super::super::frontend;
    use super::super::startup::{Packet, read_packet};
    use super::super::write::ErrorReply;
    use super::*;

    fn frames(bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
        let mut decoder = Decoder::new();
        decoder.extend(bytes);
        let mut found = Vec::new();
        while let Some(Piece::Whole(frame)) =
            decoder.next_piece(|_| Handling::Whole(MAX_ROW_BYTES)).unwrap()
        {
            found.push((frame.tag(), frame.body().to_vec()));
        }
        found
    }

    #[test]
    fn a_start_is_what_a_server_reads() {
        let mut bytes = BytesMut::from(&startup(&[("user", "ada"), ("database", "shop")])[..]);
        let Some((Packet::Startup(message), used)) = read_packet(&bytes).unwrap() else {
            panic!("no start")
        };
        assert_eq!((message.major, used), (3, bytes.len()));
        assert_eq!(message.parameters["database"], "shop");
        // A name that would end early cannot carry another setting.
        bytes = BytesMut::from(&startup(&[("user", "a\0options\0-c role=x")])[..]);
        let Some((Packet::Startup(message), _)) = read_packet(&bytes).unwrap() else {
            panic!("no start")
        };
        assert_eq!(message.parameters.len(), 1);
    }

    #[test]
    fn a_statement_is_one_series() {
        let values = [Some("7".to_owned()), None];
        let found = frames(&statement("SELECT $1, $2", &values, None));
        let tags: Vec<u8> = found.iter().map(|(tag, _)| *tag).collect();
        assert_eq!(tags, *b"PBDES");
        assert_eq!(frontend::Parse::read(&found[0].1).unwrap().text, b"SELECT $1, $2");
        let bind = frontend::Bind::read(&found[1].1).unwrap();
        let given: Vec<_> = bind.parameters.iter().map(|(_, value)| *value).collect();
        assert_eq!(given, [Some(&b"7"[..]), None]);
        let held = frames(&statement("SELECT 1", &[], Some(1)));
        assert_eq!(held.last().unwrap().0, b'H', "the portal stays");
    }

    #[test]
    fn what_a_session_says_is_heard_in_any_pieces() {
        let mut said = BytesMut::new();
        put_message(&mut said, b'N', |body| body.extend_from_slice(b"SNOTICE\0\0"));
        put_message(&mut said, b'D', |body| {
            body.put_u16(2);
            body.put_i32(2);
            body.extend_from_slice(b"42");
            body.put_i32(-1);
        });
        put_message(&mut said, b's', |_| {});
        said.extend_from_slice(&ErrorReply::fatal("57P01", "over").hint("again").to_bytes());
        put_message(&mut said, b'Z', |body| body.put_u8(b'I'));
        for size in [1, 3, said.len()] {
            let (mut listener, mut heard) = (Listener::default(), Vec::new());
            for part in said.chunks(size) {
                listener.feed(part);
                while let Some(one) = listener.hear().unwrap() {
                    heard.push(one);
                }
            }
            let failure = Failure {
                sqlstate: "57P01".to_owned(),
                message: "over".to_owned(),
                hint: Some("again".to_owned()),
                is_fatal: true,
                ..Failure::default()
            };
            let row = vec![Some(Bytes::from_static(b"42")), None];
            let expected =
                [Heard::Row(row), Heard::Suspended, Heard::Failed(failure), Heard::Ready];
            assert_eq!(heard, expected);
        }
    }

    #[test]
    fn a_row_that_is_too_long_is_an_error_and_no_memory() {
        let mut listener = Listener::default();
        let length = i32::try_from(MAX_ROW_BYTES + 100).unwrap();
        listener.feed(&[&b"D"[..], &length.to_be_bytes()].concat());
        assert!(matches!(listener.hear(), Err(NotHeard::Frame(FrameError::TooLong { .. }))));
    }
}

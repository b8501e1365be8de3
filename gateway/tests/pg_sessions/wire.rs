//! PostgreSQL frames by hand, for what no client library sends.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

use crate::harness::SOON;

pub fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

fn cstr(text: &str) -> Vec<u8> {
    [text.as_bytes(), &[0]].concat()
}

pub fn query(text: &str) -> Vec<u8> {
    frame(b'Q', &cstr(text))
}

pub fn parse(name: &str, text: &str) -> Vec<u8> {
    frame(b'P', &[cstr(name), cstr(text), vec![0, 0]].concat())
}

/// Text parameters; all results in `format`.
pub fn bind(portal: &str, statement: &str, parameters: &[Option<&str>], format: u16) -> Vec<u8> {
    let mut body = [cstr(portal), cstr(statement), vec![0, 0]].concat();
    body.extend_from_slice(&u16::try_from(parameters.len()).unwrap().to_be_bytes());
    for parameter in parameters {
        match parameter {
            None => body.extend_from_slice(&(-1_i32).to_be_bytes()),
            Some(text) => {
                body.extend_from_slice(&u32::try_from(text.len()).unwrap().to_be_bytes());
                body.extend_from_slice(text.as_bytes());
            }
        }
    }
    body.extend_from_slice(&1_u16.to_be_bytes());
    body.extend_from_slice(&format.to_be_bytes());
    frame(b'B', &body)
}

pub fn describe(kind: u8, name: &str) -> Vec<u8> {
    frame(b'D', &[vec![kind], cstr(name)].concat())
}

pub fn close(kind: u8, name: &str) -> Vec<u8> {
    frame(b'C', &[vec![kind], cstr(name)].concat())
}

pub fn execute(portal: &str, max_rows: u32) -> Vec<u8> {
    frame(b'E', &[cstr(portal), max_rows.to_be_bytes().to_vec()].concat())
}

pub fn sync() -> Vec<u8> {
    frame(b'S', &[])
}

pub fn flush() -> Vec<u8> {
    frame(b'H', &[])
}

pub fn startup(parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = (3_u32 << 16).to_be_bytes().to_vec();
    for (name, value) in parameters {
        body.extend(cstr(name));
        body.extend(cstr(value));
    }
    body.push(0);
    [&u32::try_from(body.len() + 4).unwrap().to_be_bytes()[..], &body].concat()
}

/// One message: tag and body.
pub type Message = (u8, Vec<u8>);

pub struct Wire<S> {
    stream: S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub const fn new(stream: S) -> Self {
        Self { stream }
    }

    /// Starts a session and gives all up to the first ReadyForQuery.
    pub async fn start(stream: S, parameters: &[(&str, &str)]) -> (Self, Vec<Message>) {
        let mut wire = Self::new(stream);
        wire.send(&startup(parameters)).await;
        let messages = wire.until(b'Z', 1).await;
        (wire, messages)
    }

    pub async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.expect("takes bytes");
        self.stream.flush().await.expect("takes bytes");
    }

    /// The next message; `None` at the end of the stream.
    pub async fn next(&mut self) -> Option<Message> {
        timeout(SOON, self.read()).await.expect("an answer in time")
    }

    async fn read(&mut self) -> Option<Message> {
        let tag = self.stream.read_u8().await.ok()?;
        let length = self.stream.read_u32().await.ok()?;
        let mut body = vec![0; length as usize - 4];
        self.stream.read_exact(&mut body).await.ok()?;
        Some((tag, body))
    }

    /// Whether nothing comes for a while. Not a wait for a condition: there is none that could be waited for.
    pub async fn is_silent(&mut self) -> bool {
        let mut byte = [0; 1];
        timeout(Duration::from_millis(300), self.read_some(&mut byte)).await.is_err()
    }

    /// All messages up to the `count`th of kind `tag`, or the end of the stream.
    pub async fn until(&mut self, tag: u8, count: usize) -> Vec<Message> {
        let mut messages = Vec::new();
        let mut left = count;
        while left > 0 {
            let Some(message) = self.next().await else { break };
            left -= usize::from(message.0 == tag);
            messages.push(message);
        }
        messages
    }

    pub async fn rest(&mut self) -> Vec<Message> {
        self.until(0, usize::MAX).await
    }

    /// Some bytes as they come; none at the end.
    pub async fn read_some(&mut self, buffer: &mut [u8]) -> usize {
        self.stream.read(buffer).await.unwrap_or(0)
    }

    pub async fn read_byte(&mut self) -> u8 {
        timeout(SOON, self.stream.read_u8()).await.expect("in time").expect("a byte")
    }
}

/// The tags of messages, as text.
pub fn tags(messages: &[Message]) -> String {
    messages.iter().map(|(tag, _)| char::from(*tag)).collect()
}

/// A field of the first ErrorResponse.
pub fn error_field(messages: &[Message], code: u8) -> String {
    field(messages, b'E', code)
}

/// A field of the first NoticeResponse.
pub fn notice_field(messages: &[Message], code: u8) -> String {
    field(messages, b'N', code)
}

fn field(messages: &[Message], tag: u8, code: u8) -> String {
    let (_, body) = messages.iter().find(|(it, _)| *it == tag).expect("such a message");
    body.split(|byte| *byte == 0)
        .find(|field| field.first() == Some(&code))
        .map(|field| String::from_utf8_lossy(&field[1..]).into_owned())
        .unwrap_or_default()
}

/// The transaction status of the last ReadyForQuery.
pub fn status(messages: &[Message]) -> char {
    let (_, body) = messages.iter().rfind(|(tag, _)| *tag == b'Z').expect("ready");
    char::from(body[0])
}

//! Messages that the gateway makes itself.

use bytes::{BufMut as _, Bytes, BytesMut};

/// One message: `fill` writes its body.
pub(crate) fn message(tag: u8, fill: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut bytes = BytesMut::new();
    put_message(&mut bytes, tag, fill);
    bytes.freeze()
}

/// Appends one message to `out`.
pub(crate) fn put_message(out: &mut BytesMut, tag: u8, fill: impl FnOnce(&mut BytesMut)) {
    let mut body = BytesMut::new();
    fill(&mut body);
    out.put_u8(tag);
    // A body that the gateway makes is bounded by the frames it came from: far below 2 GiB.
    out.put_i32(i32::try_from(body.len() + 4).unwrap_or(i32::MAX));
    out.extend_from_slice(&body);
}

pub(crate) fn put_cstr(out: &mut BytesMut, text: &[u8]) {
    // A zero byte would end the text early and let the rest be read as something else.
    out.extend(text.iter().copied().filter(|byte| *byte != 0));
    out.put_u8(0);
}

/// How bad an [`ErrorReply`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// The statement failed.
    Error,
    /// The session ends.
    Fatal,
}

/// An ErrorResponse of the gateway's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply {
    /// How bad it is.
    pub severity: Severity,
    /// Five characters (PostgreSQL documentation, appendix A).
    pub sqlstate: &'static str,
    /// What happened; carries no value that passed.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
    /// Where in the statement, in characters from 1.
    pub position: Option<u32>,
}

impl ErrorReply {
    /// A failed statement.
    #[must_use]
    pub fn error(sqlstate: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        Self { severity: Severity::Error, sqlstate, message, hint: None, position: None }
    }

    /// A failed session.
    #[must_use]
    pub fn fatal(sqlstate: &'static str, message: impl Into<String>) -> Self {
        Self { severity: Severity::Fatal, ..Self::error(sqlstate, message) }
    }

    /// With a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The message on the wire.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let severity: &[u8] = match self.severity {
            Severity::Error => b"ERROR",
            Severity::Fatal => b"FATAL",
        };
        let position = self.position.map(|position| position.to_string());
        message(b'E', |body| {
            let mut field = |code: u8, text: &[u8]| {
                body.put_u8(code);
                put_cstr(body, text);
            };
            field(b'S', severity);
            field(b'V', severity);
            field(b'C', self.sqlstate.as_bytes());
            field(b'M', self.message.as_bytes());
            if let Some(hint) = &self.hint {
                field(b'H', hint.as_bytes());
            }
            if let Some(position) = &position {
                field(b'P', position.as_bytes());
            }
            body.put_u8(0);
        })
    }
}

/// A NoticeResponse of the gateway's own.
#[must_use]
pub fn notice(text: &str, hint: &str) -> Bytes {
    let fields: [(u8, &str); 5] =
        [(b'S', "NOTICE"), (b'V', "NOTICE"), (b'C', "00000"), (b'M', text), (b'H', hint)];
    message(b'N', |body| {
        for (code, text) in fields {
            body.put_u8(code);
            put_cstr(body, text.as_bytes());
        }
        body.put_u8(0);
    })
}

/// The answer to SSLRequest and GSSENCRequest: the tunnel is encrypted already.
pub const NOT_INSIDE_THE_TUNNEL: &[u8] = b"N";

/// AuthenticationOk.
#[must_use]
pub fn authentication_ok() -> Bytes {
    message(b'R', |body| body.put_i32(0))
}

/// BackendKeyData.
#[must_use]
pub fn backend_key_data(pid: u32, key: u32) -> Bytes {
    message(b'K', |body| {
        body.put_u32(pid);
        body.put_u32(key);
    })
}

/// ParameterStatus.
#[must_use]
pub fn parameter_status(name: &str, value: &str) -> Bytes {
    message(b'S', |body| {
        put_cstr(body, name.as_bytes());
        put_cstr(body, value.as_bytes());
    })
}

/// NegotiateProtocolVersion: the newest minor version of 3, and the options that are not known.
#[must_use]
pub fn negotiate_protocol_version(newest_minor: u16, unknown: &[String]) -> Bytes {
    message(b'v', |body| {
        body.put_i32((3 << 16) | i32::from(newest_minor));
        body.put_i32(i32::try_from(unknown.len()).unwrap_or(i32::MAX));
        for name in unknown {
            put_cstr(body, name.as_bytes());
        }
    })
}

/// ReadyForQuery.
#[must_use]
pub fn ready_for_query(status: u8) -> Bytes {
    message(b'Z', |body| body.put_u8(status))
}

/// Describe of a portal.
#[must_use]
pub fn describe_portal(name: &[u8]) -> Bytes {
    message(b'D', |body| {
        body.put_u8(b'P');
        put_cstr(body, name);
    })
}

/// Flush.
#[must_use]
pub fn flush() -> Bytes {
    message(b'H', |_| {})
}

/// Query.
#[must_use]
pub fn query(text: &str) -> Bytes {
    message(b'Q', |body| put_cstr(body, text.as_bytes()))
}

/// Parse without parameter types.
#[must_use]
pub fn parse(name: &[u8], text: &str) -> Bytes {
    message(b'P', |body| {
        put_cstr(body, name);
        put_cstr(body, text.as_bytes());
        body.put_i16(0);
    })
}

/// Sync.
#[must_use]
pub fn sync() -> Bytes {
    message(b'S', |_| {})
}

/// StartupMessage, protocol 3.0.
#[must_use]
pub fn startup_message<'a>(parameters: impl Iterator<Item = (&'a str, &'a str)>) -> Bytes {
    let mut body = BytesMut::new();
    body.put_i32(3 << 16);
    for (name, value) in parameters {
        put_cstr(&mut body, name.as_bytes());
        put_cstr(&mut body, value.as_bytes());
    }
    body.put_u8(0);
    let mut bytes = BytesMut::with_capacity(body.len() + 4);
    bytes.put_i32(i32::try_from(body.len() + 4).unwrap_or(i32::MAX));
    bytes.extend_from_slice(&body);
    bytes.freeze()
}

/// SSLRequest.
#[must_use]
pub fn ssl_request() -> Bytes {
    untagged(&[super::startup::SSL_REQUEST])
}

/// CancelRequest.
#[must_use]
pub fn cancel_request(pid: u32, key: u32) -> Bytes {
    untagged(&[super::startup::CANCEL_REQUEST, pid, key])
}

/// PasswordMessage and its kin: SASL answers have the same tag.
#[must_use]
pub fn password(body: &[u8]) -> Bytes {
    message(b'p', |out| out.extend_from_slice(body))
}

fn untagged(words: &[u32]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i32(i32::try_from(words.len() * 4 + 4).unwrap_or(i32::MAX));
    for word in words {
        bytes.put_u32(*word);
    }
    bytes.freeze()
}

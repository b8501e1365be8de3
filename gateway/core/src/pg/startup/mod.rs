//! The untagged packets that begin a connection (PostgreSQL documentation, "Start-up" and "Canceling Requests in
//! Progress"), and what of a StartupMessage may pass.

mod accept;

pub use accept::{Accepted, Databases, Rejected, accept};

use std::collections::BTreeMap;

use super::read::{Malformed, Reader};

/// The code of an SSLRequest.
pub const SSL_REQUEST: u32 = (1234 << 16) | 5679;
/// The code of a GSSENCRequest.
pub const GSSENC_REQUEST: u32 = (1234 << 16) | 5680;
/// The code of a CancelRequest.
pub const CANCEL_REQUEST: u32 = (1234 << 16) | 5678;

/// The longest packet before a session, as PostgreSQL bounds it (`MAX_STARTUP_PACKET_LENGTH`).
pub const MAX_STARTUP_BYTES: usize = 10_000;

/// A packet before a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// May TLS begin here?
    Ssl,
    /// May GSSAPI encryption begin here?
    GssEnc,
    /// Cancel what another session runs.
    Cancel(CancelKey),
    /// Begin a session.
    Startup(StartupMessage),
}

/// What names a session in a CancelRequest. Whoever has it can cancel: it is shown to nobody else.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct CancelKey {
    /// Process id, made up by the gateway.
    pub pid: u32,
    /// Secret key, made up by the gateway.
    pub key: u32,
}

impl std::fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CancelKey({}, redacted)", self.pid)
    }
}

/// A StartupMessage as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartupMessage {
    /// Major protocol version.
    pub major: u16,
    /// Minor protocol version.
    pub minor: u16,
    /// The parameters; the last of a name counts, as in PostgreSQL.
    pub parameters: BTreeMap<String, String>,
}

/// The bytes are no packet that may begin a session.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartupError {
    /// The length is out of bounds.
    #[error(
        "the first packet claims {0} bytes; 8 to {MAX_STARTUP_BYTES} are allowed. Is this a PostgreSQL client?"
    )]
    BadLength(i32),
    /// The packet has not the form of its kind.
    #[error(transparent)]
    Malformed(#[from] Malformed),
}

/// The packet at the head of `bytes` and its length; `None` when more bytes are needed.
///
/// # Errors
/// When the bytes are no such packet.
pub fn read_packet(bytes: &[u8]) -> Result<Option<(Packet, usize)>, StartupError> {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return Ok(None) };
    let length = i32::from_be_bytes(*length);
    let total = usize::try_from(length)
        .ok()
        .filter(|total| (8..=MAX_STARTUP_BYTES).contains(total))
        .ok_or(StartupError::BadLength(length))?;
    let Some(body) = rest.get(..total - 4) else { return Ok(None) };
    let mut reader = Reader::new(body, "startup");
    let packet = match reader.u32()? {
        SSL_REQUEST => Packet::Ssl,
        GSSENC_REQUEST => Packet::GssEnc,
        CANCEL_REQUEST => Packet::Cancel(CancelKey { pid: reader.u32()?, key: reader.u32()? }),
        version => Packet::Startup(read_startup(version, &mut reader)?),
    };
    reader.end()?;
    Ok(Some((packet, total)))
}

fn read_startup(version: u32, reader: &mut Reader<'_>) -> Result<StartupMessage, Malformed> {
    let text = |bytes: &[u8], error: Malformed| {
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| error)
    };
    let mut parameters = BTreeMap::new();
    let (major, minor) = ((version >> 16) as u16, (version & 0xffff) as u16);
    if major != 3 {
        // Other versions have another layout, and are refused by their number.
        reader.bytes(reader.rest().len())?;
        return Ok(StartupMessage { major, minor, parameters });
    }
    loop {
        let name = text(reader.cstr()?, reader.malformed())?;
        if name.is_empty() {
            break;
        }
        let value = text(reader.cstr()?, reader.malformed())?;
        parameters.insert(name, value);
    }
    Ok(StartupMessage { major, minor, parameters })
}

#[cfg(test)]
mod tests;

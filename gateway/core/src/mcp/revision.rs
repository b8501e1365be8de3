//! Which revision of the protocol a request speaks.

use serde_json::Value;

use super::error::RpcError;
use super::headers::{Field, HeaderView};
use super::message::Incoming;
use super::meta::PROTOCOL_VERSION;

/// The revision without sessions that is spoken here.
pub const MODERN_REVISION: &str = "2026-07-28";
/// Those that begin with `initialize`, oldest first. A request without the header is of the first.
pub const LEGACY_REVISIONS: [&str; 3] = ["2025-03-26", "2025-06-18", "2025-11-25"];
/// Those that `initialize` may agree on; of the first, batches are not taken.
const NEGOTIATED: [&str; 2] = ["2025-06-18", "2025-11-25"];
const NEWEST_LEGACY: &str = "2025-11-25";
const DISCOVER: &str = "server/discover";

/// The two ways of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Era {
    /// From 2026-07-28 on: each request says all that is to be known of it.
    Modern,
    /// Up to 2025-11-25: `initialize` comes first.
    Legacy,
}

impl Era {
    /// Tells them apart, and refuses the revisions that neither is.
    ///
    /// # Errors
    /// [`RpcError`], answered with HTTP 400.
    pub fn of(incoming: &Incoming, headers: &HeaderView<'_>) -> Result<Self, RpcError> {
        let version = &headers.protocol_version;
        let in_body = incoming.params().and_then(version_in_body).is_some();
        if in_body || incoming.method() == Some(DISCOVER) || version.any(is_modern) {
            return Ok(Self::Modern);
        }
        match version {
            Field::Absent => Ok(Self::Legacy),
            Field::Once(text) if LEGACY_REVISIONS.contains(text) => Ok(Self::Legacy),
            _ if incoming.method() == Some("initialize") => Ok(Self::Legacy),
            _ => Err(RpcError::invalid_request(
                "send one MCP-Protocol-Version: the revision that was agreed on",
            )),
        }
    }
}

/// The revision that `initialize` is answered with, for the one that it asks for.
#[must_use]
pub fn initialize_revision(asked: &str) -> &'static str {
    NEGOTIATED.into_iter().find(|known| *known == asked).unwrap_or(NEWEST_LEGACY)
}

/// What the body says of its revision, whatever it is.
pub(super) fn version_in_body(params: &serde_json::Map<String, Value>) -> Option<&Value> {
    params.get("_meta")?.get(PROTOCOL_VERSION)
}

/// Revisions are dates: whatever is newer than the last one with sessions is one without.
fn is_modern(text: &str) -> bool {
    let is_date = text.len() == NEWEST_LEGACY.len()
        && text
            .bytes()
            .zip(NEWEST_LEGACY.bytes())
            .all(|(byte, form)| if form == b'-' { byte == b'-' } else { byte.is_ascii_digit() });
    is_date && text > NEWEST_LEGACY
}

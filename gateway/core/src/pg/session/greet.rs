//! What the agent gets before the machine runs: the gateway's own messages, each on record before it passes.

use tallyport_schemas::{ContentError, Session};

use crate::passage::batch::Batch;
use crate::passage::{Masked, Response, Scribe};
use crate::pg::startup::{Accepted, CancelKey};
use crate::pg::write::{self, ErrorReply};

/// The answer to SSLRequest and GSSENCRequest: not inside the tunnel, which is encrypted already.
///
/// # Errors
/// When it cannot be recorded.
pub fn no_encryption(scribe: &mut Scribe) -> Result<Option<Masked<Response>>, ContentError> {
    let mut batch = Batch::default();
    batch.put_stray("encryption_refused", write::NOT_INSIDE_THE_TUNNEL, true)?;
    batch.seal(None, scribe)
}

/// Authentication is over, these are the settings, this is the key to cancel with. The key is not recorded.
///
/// # Errors
/// When it cannot be recorded.
pub fn welcome(
    accepted: &Accepted,
    settings: &[(String, String)],
    key: CancelKey,
    scribe: &mut Scribe,
) -> Result<Option<Masked<Response>>, ContentError> {
    let mut batch = Batch::default();
    if accepted.newer_minor || !accepted.unknown_options.is_empty() {
        let negotiated = write::negotiate_protocol_version(0, &accepted.unknown_options);
        batch.put_stray("negotiate_protocol_version", &negotiated, false)?;
    }
    batch.put_stray("authentication", &write::authentication_ok(), false)?;
    for (name, value) in settings {
        let status = write::parameter_status(name, value);
        batch.put_stray("parameter_status", &status, false)?;
    }
    let key = write::backend_key_data(key.pid, key.key);
    batch.put_stray("backend_key_data", &key, false)?;
    batch.put_stray("ready_for_query", &write::ready_for_query(b'I'), false)?;
    batch.seal(None, scribe)
}

/// The end of a session that the machine never ran for: `reply` for the agent, if it is to be told.
///
/// # Errors
/// When it cannot be recorded.
pub fn turned_away(
    reply: Option<&ErrorReply>,
    end: Session,
    scribe: &mut Scribe,
) -> Result<Option<Masked<Response>>, ContentError> {
    let mut batch = Batch::default();
    if let Some(reply) = reply {
        batch.put_stray("farewell", &reply.to_bytes(), true)?;
    }
    batch.end_session(end)?;
    batch.seal(None, scribe)
}

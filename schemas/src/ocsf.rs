//! The form on the log: OCSF 1.8 JSON.
//!
//! Two readers share one value. A SIEM reads the OCSF attributes: class, activity, actor, endpoints, status. They are
//! a view, cut to size where OCSF has no room. We read `unmapped.tallyport`, which is the [`Event`] itself, whole;
//! [`decode`] looks at nothing else, so what it gives back is exactly what [`encode`] was given.

mod api;
mod class;
mod datastore;
mod decode;
mod depth;
mod fragments;
mod house;
mod identity;
mod objects;
mod traffic;
mod value;

use crate::{Body, Event};
use value::Value;

pub(crate) use fragments::Fragments;

pub use decode::{DecodeError, MAX_DEPTH, MAX_VALUE_BYTES, decode};

/// The version of OCSF that every value keeps to.
pub const OCSF_VERSION: &str = "1.8.0";

/// The event as OCSF 1.8 JSON, without a line break. The same event always gives the same bytes.
#[must_use]
pub fn encode(event: &Event) -> Vec<u8> {
    let value = of(event);
    let mut json = Vec::with_capacity(TYPICAL_VALUE_BYTES);
    #[expect(
        clippy::expect_used,
        reason = "unreachable: memory takes every write, map keys are texts and no Serialize impl raises an error. \
                  Were it reached, stopping here passes nothing, where half a value would let traffic pass unrecorded"
    )]
    serde_json::to_writer(&mut json, &value).expect("an event is always writable as JSON");
    json
}

/// Most events fit without growing.
const TYPICAL_VALUE_BYTES: usize = 4 * 1024;

fn of(event: &Event) -> Value<'_> {
    let mut value = Value::new(event);
    match &event.body {
        Body::Authentication(it) => identity::authentication(&mut value, event, it),
        Body::Session(it) => identity::session(&mut value, event, it),
        Body::Approval(it) => identity::approval(&mut value, event, it),
        Body::Revocation(it) => identity::revocation(&mut value, event, it),
        Body::Decision(it) => api::decision(&mut value, event, it),
        Body::Command(it) => traffic::command(&mut value, event, it),
        Body::Response(it) => traffic::response(&mut value, event, it),
        Body::Query(it) => datastore::query(&mut value, event, it),
        Body::Policy(it) => house::policy(&mut value, event, it),
        Body::Integrity(it) => house::integrity(&mut value, event, it),
    }
    value
}

#[cfg(test)]
mod tests;

//! HTTP as requests and answers, without a socket: what a request says in one reading alone, and what of an answer may be seen.
//!
//! * [`Asked`]: a request of an agent, taken apart; two readers cannot take it for two.
//! * [`Service`]: a configured service with its routes, as a [`crate::target::Protocol`].
//! * [`Show`]: an answer on its way, with what must not be seen hidden.

mod asked;
mod bound;
mod fields;
mod found;
mod heads;
mod media;
mod route;
mod service;
mod show;
mod written;

pub use asked::{Asked, Unreadable};
pub(crate) use bound::bound;
pub use fields::{BadField, BodyFields, QueryFields};
pub use found::{hidden, listed};
pub(crate) use media::{Media, is_token, pieces};
pub use route::{BadTemplate, Template};
pub use service::{Route, Service};
pub use show::{Answered, NotShown, Plan, Show, Shown};
pub(crate) use written::Written;

/// Names and values of fields, in order; names in lower case.
pub type Fields = Vec<(String, String)>;

/// The first field of this name.
#[must_use]
pub fn field<'a>(fields: &'a [(String, String)], name: &str) -> Option<&'a str> {
    fields.iter().find(|(it, _)| it == name).map(|(_, value)| value.as_str())
}

/// A media type without its parameters, in lower case.
#[must_use]
pub fn media_of(fields: &[(String, String)]) -> String {
    let media = field(fields, "content-type").unwrap_or_default();
    media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

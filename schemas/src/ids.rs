//! Identifiers. Every id is a type of its own, so that none can stand where another is meant.

use std::fmt;
use std::str::FromStr;
use std::time::{SystemTime, UNIX_EPOCH};

use rand::Rng as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::{Builder, Uuid};

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
        #[serde(transparent)]
        pub struct $name(Uuid);

        impl $name {
            /// A new id, ordered by time of creation (UUIDv7, RFC 9562 section 5.7).
            #[must_use]
            #[expect(clippy::new_without_default, reason = "an id is made on purpose, never by default")]
            pub fn new() -> Self {
                Self(now_v7())
            }

            /// The id with exactly these bits; for decoding and for tests that need fixed ids.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The bits.
            #[must_use]
            pub const fn as_uuid(&self) -> &Uuid {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self).map_err(|_| ParseIdError {
                    kind: stringify!($name),
                    text: text.chars().take(64).collect(),
                })
            }
        }
    };
}

/// UUIDv7 with the fraction of the millisecond in the bits behind it (RFC 9562 section 6.2, method 3): ordered to a
/// quarter of a microsecond. The rest is of the thread's own generator: an event must not cost a system call for its name.
fn now_v7() -> Uuid {
    const NANOS_PER_MS: u32 = 1_000_000;
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (since.subsec_nanos() % NANOS_PER_MS) * 4096 / NANOS_PER_MS;
    let [.., high, low] = fraction.to_be_bytes();
    let mut rest = [0; 10];
    rand::rng().fill(&mut rest);
    let [a, b, ..] = &mut rest;
    (*a, *b) = (high, low);
    let millis = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    Builder::from_unix_timestamp_millis(millis, &rest).into_uuid()
}

uuid_id! {
    /// Names one event, everywhere and for ever.
    EventId
}
uuid_id! {
    /// Names one session: one tunnel of one principal to one target.
    SessionId
}
uuid_id! {
    /// Names one command of a session; its decision, chunks and response carry it too.
    CommandId
}
uuid_id! {
    /// Names one request for an approval; where access was asked for, the grant too.
    ApprovalId
}
uuid_id! {
    /// Names one revocation.
    RevocationId
}
uuid_id! {
    /// Ties what belongs to one request together across services (W3C trace context, 16 bytes).
    TraceId
}

impl TraceId {
    /// A new one, random in every bit: samplers decide by it, and ids that begin with the time or have fixed bits, as
    /// UUIDs do, would all fall on the same side.
    #[must_use]
    pub fn random() -> Self {
        // The six fixed bits of the one are random in the other.
        let (one, other) = (Uuid::new_v4().as_u128(), Uuid::new_v4().as_u128());
        Self(Uuid::from_u128(one ^ other.rotate_left(64)))
    }
}

/// A text that was meant to be an id is not one.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is no {kind}; expected {}", expected(kind))]
pub struct ParseIdError {
    kind: &'static str,
    text: String,
}

fn expected(kind: &str) -> &'static str {
    if kind == "ProducerId" {
        "1 to 128 printable ASCII characters without spaces, such as gateway-1"
    } else {
        "a UUID such as 0197f2a0-5c1e-7c3b-8d3e-6f1b2a3c4d5e"
    }
}

/// Names one writer of the log: a gateway, a recorder, a query service. Stable across restarts.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(try_from = "String", into = "String")]
pub struct ProducerId(String);

impl ProducerId {
    /// The longest name accepted, in bytes.
    pub const MAX_BYTES: usize = 128;

    /// A name of 1 to [`Self::MAX_BYTES`] printable ASCII characters without spaces.
    ///
    /// # Errors
    /// When it is empty, too long, or has a character outside `!`..`~`.
    pub fn parse(name: impl Into<String>) -> Result<Self, ParseIdError> {
        let name = name.into();
        let fits = !name.is_empty() && name.len() <= Self::MAX_BYTES;
        if fits && name.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(name))
        } else {
            Err(ParseIdError { kind: "ProducerId", text: name.chars().take(64).collect() })
        }
    }

    /// A name known to be good.
    #[cfg(any(test, feature = "samples"))]
    pub(crate) fn literal(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for ProducerId {
    type Error = ParseIdError;

    fn try_from(name: String) -> Result<Self, Self::Error> {
        Self::parse(name)
    }
}

impl From<ProducerId> for String {
    fn from(id: ProducerId) -> Self {
        id.0
    }
}

impl fmt::Display for ProducerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_version_7_and_in_the_order_of_their_making() {
        let made: Vec<EventId> = (0..100)
            .map(|_| {
                std::thread::sleep(std::time::Duration::from_micros(2));
                EventId::new()
            })
            .collect();
        assert!(made.is_sorted(), "{made:?}");
        for id in &made {
            assert_eq!(
                (id.as_uuid().get_version_num(), id.as_uuid().get_variant()),
                (7, uuid::Variant::RFC4122)
            );
        }
    }

    #[test]
    fn ids_of_one_moment_differ() {
        let made: std::collections::HashSet<EventId> =
            (0..10_000).map(|_| EventId::new()).collect();
        assert_eq!(made.len(), 10_000);
    }

    #[test]
    fn a_random_trace_has_no_fixed_bits() {
        let ids = (0..64).map(|_| TraceId::random().as_uuid().as_u128());
        let (all, any) = ids.fold((u128::MAX, 0), |(all, any), id| (all & id, any | id));
        assert_eq!((all, any), (0, u128::MAX), "a bit that is always the same skews sampling");
    }
}

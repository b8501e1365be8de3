//! What of an event is the same for all events of one context: written once, put into each as it is.

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::objects::{Actor, Database, NetworkEndpoint};
use crate::Context;

/// JSON that is written already.
#[derive(Debug)]
pub(crate) struct Fragments {
    /// The context itself.
    pub(crate) own: Fragment,
    pub(super) actor: Fragment,
    pub(super) src_endpoint: Fragment,
    pub(super) dst_endpoint: Option<Fragment>,
    /// None where the target is no datastore.
    pub(super) database: Option<Fragment>,
}

impl Fragments {
    pub(crate) fn of(context: &Context) -> Self {
        let client = context.client.as_ref().map(NetworkEndpoint::of);
        Self {
            own: Fragment::of(context),
            actor: Fragment::of(&Actor::of(context)),
            src_endpoint: Fragment::of(&client.unwrap_or_else(NetworkEndpoint::unknown)),
            dst_endpoint: context
                .target
                .as_ref()
                .map(|target| Fragment::of(&NetworkEndpoint::target(target))),
            database: Database::of(context.target.as_ref()).as_ref().map(Fragment::of),
        }
    }
}

/// One value as JSON.
#[derive(Debug)]
pub(crate) struct Fragment(Box<RawValue>);

impl Fragment {
    fn of(value: &impl Serialize) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "unreachable, as in `encode`: texts, numbers and lists of them are always writable as JSON"
        )]
        Self(serde_json::value::to_raw_value(value).expect("a context is always writable as JSON"))
    }
}

impl Serialize for Fragment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

/// An attribute that is made for this event, or one that its context has already.
#[derive(Debug)]
pub(super) enum Part<'a, T> {
    Made(T),
    Written(&'a Fragment),
}

impl<T> From<T> for Part<'_, T> {
    fn from(made: T) -> Self {
        Self::Made(made)
    }
}

impl<T: Serialize> Serialize for Part<'_, T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Made(made) => made.serialize(serializer),
            Self::Written(fragment) => fragment.serialize(serializer),
        }
    }
}

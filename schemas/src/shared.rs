//! A context as the events of a session share it: never changed, so what it looks like as JSON is written once.

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::sync::{Arc, OnceLock};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Context, ocsf};

/// An immutable [`Context`], cheap to clone.
#[derive(Clone, Default)]
pub struct SharedContext(Arc<Parts>);

#[derive(Default)]
struct Parts {
    context: Context,
    json: OnceLock<ocsf::Fragments>,
}

impl SharedContext {
    /// Its parts of an OCSF event, and itself among our own facts.
    pub(crate) fn fragments(&self) -> &ocsf::Fragments {
        self.0.json.get_or_init(|| ocsf::Fragments::of(&self.0.context))
    }
}

impl From<Context> for SharedContext {
    fn from(context: Context) -> Self {
        Self(Arc::new(Parts { context, json: OnceLock::new() }))
    }
}

impl Deref for SharedContext {
    type Target = Context;

    fn deref(&self) -> &Context {
        &self.0.context
    }
}

impl PartialEq for SharedContext {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.context == other.0.context
    }
}

impl fmt::Debug for SharedContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.context.fmt(f)
    }
}

impl Serialize for SharedContext {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.fragments().own.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SharedContext {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Context::deserialize(deserializer).map(Self::from)
    }
}

impl JsonSchema for SharedContext {
    fn inline_schema() -> bool {
        Context::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        Context::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        Context::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Context::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    /// The parts that are written once are, byte for byte, what writing them anew gives.
    #[test]
    fn it_is_written_as_the_context_is() {
        for event in samples::events() {
            let shared = serde_json::to_string(&event.context).unwrap();
            assert_eq!(shared, serde_json::to_string(&*event.context).unwrap());
            let again = SharedContext::from((*event.context).clone());
            assert_eq!(again, event.context);
            assert_eq!(serde_json::to_string(&again).unwrap(), shared);
        }
    }
}

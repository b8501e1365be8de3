//! `[[targets]]`: the kind says which keys there are.

use std::path::Path;

use schemars::{JsonSchema, schema_for};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use super::{ConfigError, HttpTarget, RawHttpTarget, RawKubernetesTarget, RawTarget, Target};

/// `[[targets]]` as written.
#[derive(Clone, Debug, JsonSchema)]
#[schemars(untagged)]
pub enum RawAnyTarget {
    /// A PostgreSQL server.
    Postgres(Box<RawTarget>),
    /// An HTTP service by its routes.
    Http(Box<RawHttpTarget>),
    /// The API of a cluster.
    Kubernetes(Box<RawKubernetesTarget>),
}

/// A checked target of any kind.
#[derive(Clone, Debug)]
pub enum AnyTarget {
    /// A PostgreSQL server.
    Postgres(Box<Target>),
    /// What is asked by HTTP.
    Http(Box<HttpTarget>),
}

impl<'de> Deserialize<'de> for RawAnyTarget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let table = Map::<String, Value>::deserialize(deserializer)?;
        let kind = match table.get("kind") {
            None => "postgresql",
            Some(kind) => kind.as_str().unwrap_or_default(),
        };
        Ok(match kind {
            "http" => Self::Http(read(table)?),
            "kubernetes" => Self::Kubernetes(read(table)?),
            // Its own check names the kinds that there are.
            _ => Self::Postgres(read(table)?),
        })
    }
}

/// Reads a table of which every key must be known: `serde` does not look where structs are put together.
fn read<T: DeserializeOwned + JsonSchema, E: serde::de::Error>(
    table: Map<String, Value>,
) -> Result<Box<T>, E> {
    let schema = schema_for!(T);
    let known = schema.get("properties").and_then(Value::as_object);
    let named = table.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    if let Some(known) = known
        && let Some(other) = table.keys().find(|key| !known.contains_key(*key))
    {
        let mut names: Vec<String> = known.keys().map(|it| format!("`{it}`")).collect();
        names.sort_unstable();
        let names = names.join(", ");
        return Err(E::custom(format!(
            "targets.{named}: unknown field `{other}`, expected one of {names}"
        )));
    }
    let read = serde_json::from_value(Value::Object(table));
    read.map(Box::new).map_err(|error| E::custom(format!("targets.{named}: {error}")))
}

impl RawAnyTarget {
    /// Checks it; relative paths are taken from `folder`.
    ///
    /// # Errors
    /// With the key and the fix.
    pub fn check(self, folder: &Path) -> Result<AnyTarget, ConfigError> {
        Ok(match self {
            Self::Postgres(raw) => AnyTarget::Postgres(Box::new(raw.check(folder)?)),
            Self::Http(raw) => AnyTarget::Http(Box::new(raw.check(folder)?)),
            Self::Kubernetes(raw) => AnyTarget::Http(Box::new(raw.check(folder)?)),
        })
    }
}

impl AnyTarget {
    /// What agents call it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Postgres(target) => &target.name,
            Self::Http(target) => target.target.name(),
        }
    }
}

impl From<Target> for AnyTarget {
    fn from(target: Target) -> Self {
        Self::Postgres(Box::new(target))
    }
}

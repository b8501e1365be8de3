//! Targets beside the one of `tallyport dev`, out of a file of their own.

use std::path::Path;

use serde::Deserialize;
use tallyport_gateway::config::{AnyTarget, RawAnyTarget};

use crate::exit::Failure;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    targets: Vec<RawAnyTarget>,
}

/// Those that the file names; relative paths in it are taken from its folder.
pub fn read(path: Option<&Path>) -> Result<Vec<AnyTarget>, Failure> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let named =
        |error: &dyn std::fmt::Display| Failure::usage(format!("{}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| named(&error))?;
    let file: File = toml::from_str(&text).map_err(|error| named(&error))?;
    let folder = path.parent().unwrap_or(Path::new("."));
    let check = |raw: RawAnyTarget| raw.check(folder).map_err(|error| named(&error));
    file.targets.into_iter().map(check).collect()
}

//! What this build can do: one binary for everything, or smaller ones for a role each (features of the package).

use std::sync::LazyLock;

use tallyport_schemas::SCHEMA_VERSION;
use tallyport_schemas::ocsf::OCSF_VERSION;

use crate::exit::Failure;

/// The version of the package.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The commit, as `build.rs` found it; `unknown` for a source archive.
pub const COMMIT: &str = env!("TALLYPORT_BUILD_COMMIT");

/// The roles, by their feature, and whether this build has them.
const ROLES: [(&str, bool); 3] = [
    ("gateway", cfg!(feature = "gateway")),
    ("recorder", cfg!(feature = "recorder")),
    ("query", cfg!(feature = "query")),
];

/// One line, for `-V`.
pub fn version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| format!("{VERSION} ({COMMIT})"));
    &TEXT
}

/// One fact a line, for `--version`: what to say in a report, and what a reader of the events has to know.
pub fn long_version() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        format!(
            "{VERSION}\ncommit {COMMIT}\nevent schema {SCHEMA_VERSION}\nOCSF {OCSF_VERSION}\nthis build {}",
            has()
        )
    });
    &TEXT
}

/// This build lacks what was asked for: exit code 2, since trying again does not help.
#[cfg_attr(feature = "dev", expect(dead_code, reason = "a build with everything lacks nothing"))]
pub fn without(features: &str) -> Failure {
    Failure::usage(format!(
        "this build of tallyport {}: it lacks the feature `{features}`; use the full binary, or the one of that role, or \
         build it with `cargo build --release --locked -p tallyport --no-default-features --features {features}`",
        has()
    ))
}

/// The features of the roles that are in it, for people.
pub fn has() -> String {
    let roles: Vec<&str> =
        ROLES.iter().filter(|(_, built)| *built).map(|(name, _)| *name).collect();
    if roles.is_empty() {
        "has no role, only the clients".to_owned()
    } else {
        format!("has {}", roles.join(", "))
    }
}

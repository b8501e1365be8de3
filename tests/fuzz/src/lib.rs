//! What the fuzz targets do with their bytes: one module per parser of foreign bytes, each a plain `fn(&[u8])` that
//! panics when a promise is broken.
//!
//! * [`TARGETS`]: all of them, with the inputs to start from.
//! * [`mutate`]: seeded mutations, for the short run in `make test` (`tests/slice.rs`).
//! * `libfuzzer/` beside this crate runs the same functions for hours, guided by coverage (`make fuzz`).
//!
//! Nothing here opens a socket or reads a clock: an input does the same every time, up to the ids that are drawn.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a target says what it found by panicking"
)]

pub mod mutate;
mod source;
pub mod targets;

use std::path::{Path, PathBuf};

pub use source::Source;

/// One parser of foreign bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name: that of its module, of its folders below `corpus` and `regressions`, and of its libFuzzer binary.
    pub name: &'static str,
    /// Does everything with one input; panics when a promise is broken.
    pub run: fn(&[u8]),
    /// Inputs to start from: those of the tests, and the golden files.
    pub seeds: fn() -> Vec<Vec<u8>>,
    /// What the format is made of, for mutations.
    pub words: &'static [&'static [u8]],
}

macro_rules! targets {
    ($($(#[$when:meta])* $name:ident),+ $(,)?) => {
        /// All targets.
        pub const TARGETS: &[Target] = &[$($(#[$when])* Target {
            name: stringify!($name),
            run: targets::$name::run,
            seeds: targets::$name::seeds,
            words: targets::$name::WORDS,
        }),+];
    };
}

targets!(
    startup,
    frontend,
    backend,
    frames,
    session,
    login,
    h3_frames,
    connect,
    token,
    keys,
    event,
    policy,
    masking,
    sql,
    log_url,
    config,
    block,
    assertion,
    detectors,
    mcp_message,
    asked,
    answers,
    heads,
    streams,
    routes,
    mcp_server,
    proof,
    svid,
    webhook,
    issuer_said,
    catalog,
    #[cfg(feature = "questions")]
    question,
);

impl Target {
    /// The target of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        TARGETS.iter().copied().find(|target| target.name == name)
    }

    /// All inputs that are replayed: the seeds, the corpus, and what once made it fail.
    #[must_use]
    pub fn kept(&self) -> Vec<(String, Vec<u8>)> {
        let seeds = (self.seeds)().into_iter().enumerate();
        let mut kept: Vec<_> = seeds.map(|(place, seed)| (format!("seed {place}"), seed)).collect();
        for folder in ["corpus", "regressions"] {
            kept.extend(files(&here().join(folder).join(self.name)));
        }
        kept
    }
}

/// Writes the seeds of a target to the directory that `TALLYPORT_FUZZ_SEEDS` names, if it does: libFuzzer reads files.
pub fn write_seeds(name: &str) {
    let (Some(folder), Some(target)) =
        (std::env::var_os("TALLYPORT_FUZZ_SEEDS"), Target::named(name))
    else {
        return;
    };
    for (place, seed) in (target.seeds)().iter().enumerate() {
        std::fs::write(Path::new(&folder).join(format!("seed-{place}")), seed)
            .expect("the directory of TALLYPORT_FUZZ_SEEDS can be written");
    }
}

/// This crate's folder.
#[must_use]
pub fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The files of a folder, in the order of their names; none where there is no folder.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("readable")))
        .collect()
}

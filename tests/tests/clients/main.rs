//! Unchanged clients through `tallyport connect`, each beside the same client on a direct connection: what they see
//! must be the same, line for line. And BI tools, which read the audit.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

mod bi;
mod drivers;
mod pgbench;
mod psql;

use std::sync::OnceLock;

use dev_services::{DevService, repo_root};
use tallyport_tests::{Forward, Stack, start_or_say};

/// A PostgreSQL, the stack in front of it with a permissive policy, and an agent's port.
pub struct World {
    /// Where the direct connections go.
    pub postgres: DevService,
    /// Where the agent's connections go.
    pub forward: Forward,
    /// What is asked what it recorded.
    pub stack: Stack,
}

/// One world for all tests of this binary; its parts end with the process, when their stdin closes.
pub fn world() -> Option<&'static World> {
    static WORLD: OnceLock<Option<World>> = OnceLock::new();
    WORLD
        .get_or_init(|| {
            let postgres = start_or_say("clients", "postgres", &[])?;
            let url = format!(
                "postgres://postgres@127.0.0.1:{}/postgres?sslmode=disable",
                postgres.port("port")
            );
            let fixtures = repo_root().join("tests/fixtures");
            let stack = Stack::start(&[
                "--target-url",
                &url,
                "--policy",
                &fixtures.join("allow-all.cedar").to_string_lossy(),
                "--masking",
                &fixtures.join("no-masks.toml").to_string_lossy(),
            ]);
            let forward = stack.connect("ops-agent", "sample");
            Some(World { postgres, forward, stack })
        })
        .as_ref()
}

/// Lines of two runs that differ, for a message; empty when they do not.
pub fn differences(direct: &str, through: &str) -> Vec<String> {
    let (left, right): (Vec<&str>, Vec<&str>) =
        (direct.lines().collect(), through.lines().collect());
    let longest = left.len().max(right.len());
    (0..longest)
        .filter(|&index| left.get(index) != right.get(index))
        .take(5)
        .map(|index| {
            format!(
                "line {}:\n  direct:  {:?}\n  through: {:?}",
                index + 1,
                left.get(index),
                right.get(index)
            )
        })
        .collect()
}

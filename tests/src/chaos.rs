//! Kills at moments that a seed replays.

use std::process::Command;

/// A number from the environment.
#[must_use]
pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// A number below `bound`, by seed and round (splitmix64).
#[must_use]
pub const fn roll(seed: u64, round: u64, bound: u64) -> u64 {
    let mut z = seed.wrapping_add(round.wrapping_add(1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (z ^ (z >> 31)) % bound
}

/// `kill -9`.
pub fn kill(pid: u64) {
    signal("-KILL", pid);
}

/// `kill` with this signal, such as `-STOP`.
#[expect(clippy::expect_used, reason = "a test harness: a kill that cannot be done fails the test")]
pub fn signal(name: &str, pid: u64) {
    let sent = Command::new("kill").args([name, &pid.to_string()]).status().expect("kill runs");
    assert!(sent.success(), "process {pid} was there for {name}");
}

//! Times in order, and what the system says of a process (proc(5)).

use std::time::Duration;

/// Waits of one kind.
#[derive(Debug, Default)]
pub struct Waits(Vec<Duration>);

impl Waits {
    /// None yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// One more.
    pub fn add(&mut self, wait: Duration) {
        self.0.push(wait);
    }

    /// All of another.
    pub fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.0.len()
    }

    /// Those at these shares of all, in percent, in milliseconds.
    #[must_use]
    pub fn at<const N: usize>(&mut self, percents: [usize; N]) -> [f64; N] {
        self.0.sort_unstable();
        percents.map(|percent| {
            let last = self.0.len().saturating_sub(1);
            let index = (self.0.len() * percent / 100).min(last);
            self.0.get(index).copied().unwrap_or_default().as_secs_f64() * 1000.0
        })
    }
}

/// Processor time of a process in microseconds, user and system (fields 14 and 15 of `stat`, ticks of 10 ms).
#[must_use]
pub fn processor_us(pid: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks =
        fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    ticks.sum::<f64>() * 10_000.0
}

/// Memory that a process has in RAM, in KiB.
#[must_use]
pub fn resident_kib(pid: u32) -> f64 {
    status_kib(pid, "VmRSS:")
}

/// The most that it had, in KiB, since [`forget_peak`].
#[must_use]
pub fn peak_kib(pid: u32) -> f64 {
    status_kib(pid, "VmHWM:")
}

/// From now on anew.
///
/// # Errors
/// When the system does not let us.
pub fn forget_peak() -> std::io::Result<()> {
    std::fs::write("/proc/self/clear_refs", "5")
}

fn status_kib(pid: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or_default()
}

/// Which build this is: figures of `dev` mean nothing.
#[must_use]
pub const fn profile() -> &'static str {
    if cfg!(debug_assertions) { "dev" } else { "release" }
}

/// Splitmix64: spreads numbers, so that what is made of them looks like chance and is the same every time.
#[must_use]
pub const fn spread(number: u64) -> u64 {
    let z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

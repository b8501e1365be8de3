//! Log lines on standard error. They are never the audit record.

use std::io::IsTerminal as _;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _};

use crate::export::Exporter;
use crate::panics;

/// A line that cannot be written is lost: to tell so on the same standard error would panic whoever wanted to log,
/// such as the task that appends to the audit log, when a disk is full.
const TELL_LOST_LINES: bool = false;

/// What is logged, and in which form.
#[derive(Clone, Debug)]
pub struct Logs {
    /// What is logged unless `RUST_LOG` says otherwise, in its syntax.
    pub filter: String,
    /// One JSON object a line. Fields of the spans a line belongs to, such as `trace_id`, are in `spans`.
    pub json: bool,
}

impl Logs {
    /// Starts logging, without exporting anything. May be called once in a process.
    pub fn start(&self) {
        let lines = tracing_subscriber::fmt()
            .with_env_filter(self.filter())
            .log_internal_errors(TELL_LOST_LINES)
            .with_writer(std::io::stderr);
        if self.json {
            lines.json().init();
        } else {
            lines.with_ansi(std::io::stderr().is_terminal()).init();
        }
        panics::install();
    }

    /// Starts logging, and exporting spans.
    pub(crate) fn start_with(&self, exporter: &Exporter) {
        // Lines and spans are chosen apart: what is exported need not be logged.
        let lines = tracing_subscriber::fmt::layer()
            .log_internal_errors(TELL_LOST_LINES)
            .with_writer(std::io::stderr);
        let lines = if self.json {
            lines.json().with_filter(self.filter()).boxed()
        } else {
            lines.with_ansi(std::io::stderr().is_terminal()).with_filter(self.filter()).boxed()
        };
        tracing_subscriber::registry().with(lines).with(exporter.layer()).init();
        panics::install();
    }

    fn filter(&self) -> EnvFilter {
        EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(&self.filter))
    }
}

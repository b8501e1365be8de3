//! What whoever runs the services looks at: metrics, traces, log lines, health and readiness. Never the audit record.
//!
//! * [`Telemetry::start`] installs what exports metrics and traces, and serves `/metrics`, `/healthz` and `/readyz`.
//! * [`Readiness`] holds the [`Check`]s that `/readyz` answers from.
//! * [`METRICS`] is the contract of docs/reference/metrics.md.
//!
//! The other rooms name the facades `metrics` and `tracing` only and know nothing of this one; this one knows none of
//! them. Nothing here carries a statement, a value, a token or the name of a principal.

mod adopt;
mod catalog;
mod export;
mod listener;
mod logs;
mod meters;
mod panics;
mod readiness;
mod routes;
mod service;

pub use catalog::{Kind, METRICS, Metric};
pub use logs::Logs;
pub use readiness::{Check, Readiness, Verdict};
pub use service::{Build, CollectorHeaders, Settings, Telemetry, TelemetryError};

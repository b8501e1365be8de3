//! The metrics of this project, as docs/reference/metrics.md lists them. A test compares both with what is served.

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It goes up and down.
    Gauge,
    /// A distribution of seconds.
    Histogram,
}

/// One metric.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// What it means, in one line.
    pub help: &'static str,
}

const fn counter(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, help }
}

const fn gauge(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, help }
}

const fn seconds(name: &'static str, help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, help }
}

/// All of them, but for those of the process itself (`process_*`).
pub const METRICS: &[Metric] = &[
    gauge("tallyport_build_info", "Always 1; the labels say which build runs"),
    seconds("tallyport_log_commit_seconds", "How long a commit waited for the log's answer"),
    counter("tallyport_log_commits_total", "Commits by what the log answered"),
    counter("tallyport_log_events_total", "Events that the log confirmed as durable"),
    gauge("tallyport_log_healthy", "1 while the last append succeeded, else 0"),
    gauge("tallyport_log_used_bytes", "Bytes in use in the embedded log's database"),
    gauge("tallyport_log_capacity_bytes", "Bytes in use at which the embedded log refuses"),
    gauge("tallyport_gateway_sessions", "Sessions that are open"),
    counter("tallyport_gateway_sessions_opened_total", "Sessions whose target became ready"),
    counter("tallyport_gateway_sessions_closed_total", "Sessions that ended, by how"),
    counter("tallyport_gateway_sessions_refused_total", "Requests that became no session, by why"),
    counter(
        "tallyport_gateway_statements_total",
        "Statements, requests and calls by what policy decided",
    ),
    seconds(
        "tallyport_gateway_request_seconds",
        "How long a service, cluster or MCP server took until its answer was over",
    ),
    counter("tallyport_gateway_authentications_total", "Tokens that were checked"),
    seconds(
        "tallyport_gateway_dial_seconds",
        "How long connecting and logging in to a target took",
    ),
    counter("tallyport_gateway_dial_failures_total", "Targets that did not let the gateway in"),
    counter(
        "tallyport_gateway_control_not_understood_total",
        "Events of the control log that this build cannot decode, and passes over",
    ),
    counter("tallyport_gateway_webhook_messages_total", "Messages to webhooks"),
    gauge("tallyport_gateway_webhook_waiting", "Messages to webhooks that are yet to be taken"),
    gauge("tallyport_gateway_connections", "Connections of clients that are open"),
    gauge(
        "tallyport_certificate_not_before_seconds",
        "Unix time from which the certificate that is shown is good",
    ),
    gauge(
        "tallyport_certificate_not_after_seconds",
        "Unix time until which the certificate that is shown is good",
    ),
    counter(
        "tallyport_recorder_committed_events_total",
        "Events that this process put into the lake",
    ),
    gauge("tallyport_recorder_lag_events", "Offsets on the log and not in the lake"),
    gauge("tallyport_recorder_lag_seconds", "Age of the oldest event read and not in the lake"),
    seconds(
        "tallyport_recorder_commit_seconds",
        "How long a commit to the lake took, tries included",
    ),
    counter("tallyport_recorder_commit_failures_total", "Tries to use the lake that failed"),
    counter("tallyport_recorder_dead_letters_total", "Records that are no events"),
    counter("tallyport_query_statements_total", "Audit questions by how they ended"),
    seconds("tallyport_query_seconds", "How long an audit question took, to its last row"),
    gauge("tallyport_query_tail_events", "Offsets held in memory until the lake has them"),
];

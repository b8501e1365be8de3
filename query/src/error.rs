//! Why a question was not answered: one stable code, what to do, and how each face says it.

mod engine;
mod values;

use std::sync::Arc;
use std::time::Duration;

use datafusion::error::DataFusionError;
use tallyport_eventlog::{CommitError, ReadError};

/// A question was not answered. `Display` is what the reader is told.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Who asks could not be established.
    #[error("{message}")]
    Unauthenticated {
        /// A stable code such as `expired`.
        failure: String,
        /// Why, without any part of the token.
        message: String,
    },
    /// Policy says no.
    #[error(
        "denied by policy: `{action}` on view `{view}` is not permitted to you; ask whoever keeps the policy for a permit"
    )]
    Denied {
        /// The view.
        view: String,
        /// The action.
        action: &'static str,
    },
    /// Policy permits no view at all, so no rows are made either.
    #[error(
        "denied by policy: `{function}` makes rows only for readers who may ask (`audit:query`) at least one view; ask whoever keeps the policy for a permit"
    )]
    DeniedToMakeRows {
        /// The table function.
        function: String,
    },
    /// The text is no question that can be planned.
    #[error("{message}")]
    Invalid {
        /// What is wrong.
        message: String,
        /// SQLSTATE.
        sqlstate: &'static str,
    },
    /// It would change something, or read something other than the audit.
    #[error(
        "{what} is refused: this service answers questions (SELECT, WITH, VALUES, EXPLAIN) and changes nothing"
    )]
    ReadOnly {
        /// What was asked.
        what: String,
    },
    /// The text is too long.
    #[error("the query is {bytes} bytes long, over the limit of {max} (max_sql_bytes); shorten it")]
    TooLong {
        /// Its length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// What is bound to its parameters is too long.
    #[error(
        "the parameters are {bytes} bytes long as they go on record, over the limit of {max} (max_sql_bytes); bind less"
    )]
    ParametersTooLong {
        /// Their length.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// The answer is too large.
    #[error(
        "the answer has more than {max} {unit} ({limit}); narrow it with WHERE, LIMIT or aggregates"
    )]
    TooLarge {
        /// The bound.
        max: u64,
        /// `rows` or `bytes`.
        unit: &'static str,
        /// The setting's name.
        limit: &'static str,
    },
    /// Something in it, if not the answer, is too large for the engine.
    #[error(
        "the answer, or a value on the way to it, is too large for the engine (2 GiB in one column); narrow it with WHERE or LIMIT, or gather less into one value"
    )]
    TooLargeForEngine,
    /// A function would make too much, or take too long for it.
    #[error(
        "`{function}` would make up to {most} {unit} of {of}, over the limit of {max}; give it less, for instance with left() or LIMIT"
    )]
    TooMuchMade {
        /// Its name.
        function: String,
        /// What could come of it.
        most: u64,
        /// The bound.
        max: u64,
        /// `bytes` or `comparisons`.
        unit: &'static str,
        /// `constants`, `one row` or `rows`.
        of: &'static str,
    },
    /// It took too long.
    #[error(
        "the query took longer than {} s (max_duration_seconds); narrow it, for instance by ingest_date",
        after.as_secs()
    )]
    TimedOut {
        /// The bound.
        after: Duration,
    },
    /// The reader's token ended while the query ran.
    #[error("your token expired while the query ran; ask again with a fresh one")]
    TokenExpired,
    /// Too many run already.
    #[error("{max} queries run already (max_concurrent); try again in a moment")]
    Busy {
        /// The bound.
        max: usize,
    },
    /// Too many of the same principal run already.
    #[error(
        "you run {max} queries already, as many as one principal may (a quarter of max_concurrent); let one end, or try again in a moment"
    )]
    BusyYourself {
        /// The bound.
        max: usize,
    },
    /// No token of this connection is looked at any more.
    #[error("too many requests with an invalid token on this connection; get a new token")]
    TooManyFailures,
    /// No place for another connection.
    #[error(
        "{of} has as many connections open as it may (max_connections); close one, or try again in a moment"
    )]
    TooManyConnections {
        /// Whose they are.
        of: &'static str,
    },
    /// The memory that queries share does not suffice.
    #[error(
        "the query needs more memory than the service grants (max_memory_bytes); narrow it, or aggregate over less"
    )]
    OutOfMemory,
    /// The reader cancelled it.
    #[error("cancelled at your request")]
    Cancelled,
    /// The reader left before the end.
    #[error("the reader left before the end")]
    ReaderLeft,
    /// The question cannot be put on record, so it is not answered.
    #[error(
        "the question cannot be put on record, so it is not answered: the log takes no events; try again later"
    )]
    LogUnavailable,
    /// The lake cannot be read.
    #[error("the lake cannot be read now; try again later, and see the service's log")]
    LakeUnavailable,
    /// Events are missing between the lake and the log, or the two do not belong together.
    #[error("the record is not whole: {reason}")]
    Integrity {
        /// What is missing.
        reason: String,
    },
    /// It failed while it ran, for a reason in the question or its data.
    #[error("{message}")]
    Failed {
        /// Why.
        message: String,
    },
    /// There is no such named question.
    #[error("there is no question `{name}`; `tallyport ask` or GET /v1/ask lists them")]
    UnknownQuestion {
        /// What was asked.
        name: String,
    },
    /// A parameter of a named question is missing, unknown or of the wrong form.
    #[error("parameter `{name}`: {problem}")]
    BadParameter {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
    /// The request itself is malformed.
    #[error("{problem}")]
    BadRequest {
        /// What is wrong.
        problem: String,
    },
    /// The service stops.
    #[error("the service is shutting down; ask again in a moment")]
    Stopping,
    /// The engine broke on this query: a fault of the service.
    #[error(
        "the engine failed on this query, which ended without an answer; that is a fault of the service: see its log, and write the query differently meanwhile"
    )]
    EngineFailed,
    /// A fault of the service itself.
    #[error("the service failed; see its log")]
    Internal,
}

impl QueryError {
    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.row().0
    }

    /// The HTTP status.
    #[must_use]
    pub const fn http_status(&self) -> u16 {
        self.row().1
    }

    /// The SQLSTATE on the PostgreSQL wire.
    #[must_use]
    pub const fn sqlstate(&self) -> &'static str {
        self.row().2
    }

    const fn row(&self) -> (&'static str, u16, &'static str) {
        match self {
            Self::Unauthenticated { .. } => ("unauthenticated", 401, "28000"),
            Self::Denied { .. } | Self::DeniedToMakeRows { .. } => {
                ("denied_by_policy", 403, "42501")
            }
            Self::Invalid { sqlstate, .. } => ("invalid_query", 400, sqlstate),
            Self::ReadOnly { .. } => ("read_only", 400, "25006"),
            Self::TooLong { .. } | Self::ParametersTooLong { .. } => {
                ("query_too_long", 413, "54000")
            }
            Self::TooLarge { .. } | Self::TooLargeForEngine | Self::TooMuchMade { .. } => {
                ("answer_too_large", 422, "54000")
            }
            Self::TimedOut { .. } => ("timed_out", 504, "57014"),
            Self::TokenExpired => ("token_expired", 401, "28000"),
            Self::Busy { .. } | Self::BusyYourself { .. } => ("busy", 429, "53300"),
            Self::TooManyFailures => ("too_many_failures", 429, "28000"),
            Self::TooManyConnections { .. } => ("too_many_connections", 503, "53300"),
            Self::OutOfMemory => ("out_of_memory", 422, "53200"),
            Self::Cancelled => ("cancelled", 499, "57014"),
            Self::ReaderLeft => ("reader_left", 499, "57014"),
            Self::LogUnavailable => ("log_unavailable", 503, "58030"),
            Self::LakeUnavailable => ("lake_unavailable", 503, "58030"),
            Self::Integrity { .. } => ("integrity", 500, "XX001"),
            Self::Failed { .. } => ("failed", 422, "22000"),
            Self::UnknownQuestion { .. } => ("unknown_question", 404, "42704"),
            Self::BadParameter { .. } => ("bad_parameter", 400, "22023"),
            Self::BadRequest { .. } => ("bad_request", 400, "08P01"),
            Self::Stopping => ("stopping", 503, "57P01"),
            Self::EngineFailed | Self::Internal => ("internal", 500, "XX000"),
        }
    }

    /// Whether it only says that the issuer cannot be asked now.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self, Self::Unauthenticated { failure, .. } if failure == "introspection_unavailable")
    }

    /// How the event of the failed question says it: the code, and the text where it cannot quote a value of the data.
    pub(crate) fn on_record(&self) -> String {
        match self {
            Self::Failed { .. } => "failed: an expression failed on the data".to_owned(),
            other => format!("{}: {other}", other.code()),
        }
    }
}

impl From<&CommitError> for QueryError {
    fn from(error: &CommitError) -> Self {
        tracing::error!(%error, "a query could not be put on record");
        Self::LogUnavailable
    }
}

impl From<ReadError> for QueryError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Truncated { .. } => Self::Integrity {
                reason: format!("{error}, and the lake does not have what was before"),
            },
            ReadError::Damaged { .. } => {
                tracing::error!(%error, "integrity violation");
                Self::Integrity { reason: error.to_string() }
            }
            ReadError::Unavailable { .. } => {
                tracing::error!(%error, "the log's tail could not be read");
                Self::LogUnavailable
            }
        }
    }
}

/// The service cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Tokens would cross a network in the clear.
    #[error(
        "the {face} listener {address} is not on loopback and has no TLS: readers would send their tokens in the clear; give it TLS or listen on 127.0.0.1"
    )]
    CleartextTokens {
        /// Which listener.
        face: &'static str,
        /// Its address.
        address: std::net::SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("the {face} listener cannot use {address}: {source}")]
    Listen {
        /// Which listener.
        face: &'static str,
        /// Its address.
        address: std::net::SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The service's threads cannot be had.
    #[error("the query service's threads cannot be started: {0}")]
    Threads(std::io::Error),
    /// The engine cannot be built: a fault of this build.
    #[error("the query engine cannot be built: {0}")]
    Engine(Arc<DataFusionError>),
    /// A named question or view of this build is broken.
    #[error("the named question `{name}` of this build is broken: {problem}")]
    Question {
        /// Its name.
        name: String,
        /// What is wrong.
        problem: String,
    },
}

impl From<DataFusionError> for StartError {
    fn from(error: DataFusionError) -> Self {
        Self::Engine(Arc::new(error))
    }
}

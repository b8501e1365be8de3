//! What the query service counts. Labels are faces and outcomes, never who asked what.

use std::time::Duration;

use metrics::{counter, histogram};
use tallyport_schemas::Face;

use crate::error::QueryError;

/// A question was answered to its end, or not.
pub(crate) fn asked(face: Face, took: Duration, outcome: Result<(), &QueryError>) {
    let outcome = outcome.map_or_else(word, |()| "completed");
    counter!("tallyport_query_statements_total", "face" => face.as_str(), "outcome" => outcome)
        .increment(1);
    histogram!("tallyport_query_seconds", "face" => face.as_str()).record(took);
}

const fn word(error: &QueryError) -> &'static str {
    match error {
        QueryError::Denied { .. } | QueryError::DeniedToMakeRows { .. } => "denied",
        QueryError::Cancelled | QueryError::ReaderLeft => "cancelled",
        QueryError::TimedOut { .. } => "timed_out",
        _ => "failed",
    }
}

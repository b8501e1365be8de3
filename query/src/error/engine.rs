//! What the engine's errors mean to a reader.

use std::error::Error;
use std::sync::Arc;

use arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion::parquet::errors::ParquetError;
use tokio::task::JoinError;

use super::QueryError;
use super::values::{IN_A_SCAN, without_values};
use crate::panics;

impl From<DataFusionError> for QueryError {
    fn from(error: DataFusionError) -> Self {
        of(&error)
    }
}

/// What the reader is told of DataFusion's error: planning errors name only what the reader wrote; of what fails on rows
/// only what failed is said; what comes from below (files, stores, the engine itself) goes to the log instead.
fn of(error: &DataFusionError) -> QueryError {
    match error {
        DataFusionError::SQL(parse, _) => invalid(parse.to_string(), "42601"),
        DataFusionError::SchemaError(schema, _) => {
            let sqlstate = match schema.as_ref() {
                SchemaError::FieldNotFound { .. } => "42703",
                _ => "42702",
            };
            invalid(schema.to_string(), sqlstate)
        }
        DataFusionError::Plan(message) if message.contains("not found") => {
            invalid(message.clone(), "42P01")
        }
        DataFusionError::Plan(message) => invalid(message.clone(), "42000"),
        DataFusionError::NotImplemented(message) => invalid(message.clone(), "0A000"),
        DataFusionError::ResourcesExhausted(message) => {
            tracing::warn!(why = %message, "a query was stopped for its memory");
            QueryError::OutOfMemory
        }
        DataFusionError::Execution(message) => failed(message),
        DataFusionError::ArrowError(arrow, _) => of_arrow(arrow),
        DataFusionError::ParquetError(parquet) => of_parquet(parquet, error),
        DataFusionError::Context(what, inner) if what == "Invalid regex" => {
            invalid(format!("the regular expression cannot be read: {inner}"), "2201B")
        }
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => of(inner),
        DataFusionError::Shared(inner) => of(inner),
        DataFusionError::Collection(errors) => errors.first().map_or(QueryError::Internal, of),
        DataFusionError::External(external) => of_external(external.as_ref(), error),
        DataFusionError::ExecutionJoin(task) => panics::of_task(task),
        DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => lake_fault(error),
        _ => {
            tracing::error!(%error, "a query failed inside the engine");
            QueryError::Internal
        }
    }
}

/// `external` is what `error` wraps: an error of ours, a task of the engine's that panicked, or a store's word.
fn of_external(
    external: &(dyn Error + Send + Sync + 'static),
    error: &DataFusionError,
) -> QueryError {
    if let Some(own) = external.downcast_ref::<QueryError>() {
        return own.clone();
    }
    if let Some(inner) = external.downcast_ref::<DataFusionError>() {
        return of(inner);
    }
    if let Some(arrow) = external.downcast_ref::<ArrowError>() {
        return of_arrow(arrow);
    }
    let shared = external.downcast_ref::<Arc<JoinError>>().map(AsRef::as_ref);
    match shared.or_else(|| external.downcast_ref::<JoinError>()) {
        Some(task) => panics::of_task(task),
        None => lake_fault(error),
    }
}

/// `parquet` is what `error` wraps: a fault of a file, or of a filter that was asked of its rows.
fn of_parquet(parquet: &ParquetError, error: &DataFusionError) -> QueryError {
    match parquet {
        ParquetError::External(external) => of_external(external.as_ref(), error),
        ParquetError::General(text) | ParquetError::ArrowError(text)
            if text.contains(IN_A_SCAN) =>
        {
            failed(text)
        }
        _ => lake_fault(error),
    }
}

fn of_arrow(error: &ArrowError) -> QueryError {
    use ArrowError as A;
    match error {
        A::ExternalError(external) => match external.downcast_ref::<DataFusionError>() {
            Some(inner) => of(inner),
            None => QueryError::Internal,
        },
        A::CastError(message)
        | A::ParseError(message)
        | A::ComputeError(message)
        | A::InvalidArgumentError(message)
        | A::ArithmeticOverflow(message) => failed(message),
        A::DivideByZero => failed("division by zero"),
        A::OffsetOverflowError(_) => QueryError::TooLargeForEngine,
        A::ParquetError(message) if message.contains(IN_A_SCAN) => failed(message),
        other => {
            tracing::error!(error = %other, "a query failed inside the engine");
            QueryError::Internal
        }
    }
}

fn failed(message: &str) -> QueryError {
    QueryError::Failed { message: without_values(message) }
}

fn invalid(message: String, sqlstate: &'static str) -> QueryError {
    QueryError::Invalid { message, sqlstate }
}

fn lake_fault(error: &DataFusionError) -> QueryError {
    tracing::error!(%error, "the lake could not be read");
    QueryError::LakeUnavailable
}

impl From<QueryError> for DataFusionError {
    fn from(error: QueryError) -> Self {
        Self::External(Box::new(error))
    }
}

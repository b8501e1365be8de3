//! A panic of the engine ends the question that met it, in order, and nothing else.

use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use tokio::task::JoinError;

use crate::error::QueryError;

/// What Arrow's buffers and the standard library say of a column or value that is larger than they can hold.
const TOO_LARGE: [&str; 3] = ["overflow", "capacity", "too large"];

/// Runs `work`; a panic in it is an error. What `work` shares with others must be whole at each of its steps: here it
/// is the state of one question, which ends with it, and locks that do not poison.
pub(crate) async fn caught<T, E>(work: impl Future<Output = Result<T, E>>) -> Result<T, QueryError>
where
    QueryError: From<E>,
{
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(done) => Ok(done?),
        Err(payload) => Err(said(payload.as_ref())),
    }
}

/// The panic of a task that the engine waited for.
pub(crate) fn of_task(error: &JoinError) -> QueryError {
    // The payload is out of reach behind a shared error; its text is part of the error's own.
    if error.is_panic() { panicked(&error.to_string()) } else { QueryError::Stopping }
}

fn said(payload: &(dyn Any + Send)) -> QueryError {
    let text = payload.downcast_ref::<&str>().copied();
    panicked(text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or(""))
}

fn panicked(text: &str) -> QueryError {
    tracing::error!(panic = text, "the engine panicked on a query");
    let text = text.to_lowercase();
    if TOO_LARGE.iter().any(|known| text.contains(known)) {
        QueryError::TooLargeForEngine
    } else {
        QueryError::EngineFailed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn breaks(text: &'static str) -> Result<(), QueryError> {
        panic!("{text}")
    }

    #[tokio::test]
    async fn a_panic_is_an_error_that_says_what_it_was() {
        let fine = caught(async { Ok::<_, QueryError>(1) }).await;
        assert_eq!(fine.unwrap(), 1);
        let own = caught(async { Err::<(), _>(QueryError::OutOfMemory) }).await;
        assert_eq!(own.unwrap_err().code(), "out_of_memory");
        let large = caught(breaks("offset overflow")).await;
        assert_eq!(large.unwrap_err().code(), "answer_too_large");
        let other = caught(breaks("no entry 7")).await.unwrap_err();
        assert_eq!((other.code(), other.http_status()), ("internal", 500));
        assert!(!other.to_string().contains("no entry"), "{other}");
        let task = tokio::spawn(breaks("byte array offset overflow")).await;
        assert_eq!(of_task(&task.unwrap_err()).code(), "answer_too_large");
    }
}

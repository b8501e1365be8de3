//! The threads of the service, and those that make the rows of questions.
//!
//! The engine lets go of a thread where it reads and where a join gives rows. A join whose condition fails on all pairs does neither for
//! as long as it takes, which can be for ever, and nothing can end it. So rows are made on threads of their own, more than the joins of
//! all turns together can hold: a question that holds some keeps its turn with them ([`crate::turns::Held`]), is told its end in time,
//! and takes a share of the processors from the others, but no turn and not the last thread.

use std::future::Future;
use std::io;
use std::num::NonZero;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

/// Texts may nest as deep as `statement::MAX_NESTING`, and a plan is walked, and dropped, level by level: in a build
/// without optimisation a level takes kilobytes. Memory is only taken where a stack is used.
const STACK_BYTES: usize = 64 * 1024 * 1024;
/// The most threads that make rows, but for two of each turn.
const MAX_MAKING: usize = 512;

/// Threads of the service's own: a long question never holds up what passes the gateway in the same process.
#[derive(Debug)]
pub(crate) struct QueryRuntime(Option<Runtime>);

impl QueryRuntime {
    /// What serves: as many threads as there are processors.
    pub(crate) fn new() -> io::Result<Self> {
        Self::of("tallyport-query", processors())
    }

    /// What makes the rows of so many questions at once, and how many joins of one may run at once.
    pub(crate) fn making(questions: usize) -> io::Result<(Self, usize)> {
        let (threads, joins) = shares(questions, processors());
        Ok((Self::of("tallyport-rows", threads)?, joins))
    }

    fn of(name: &str, threads: usize) -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .worker_threads(threads)
            .thread_name(name)
            .thread_stack_size(STACK_BYTES)
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Runs `work` on these threads.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        self.spawn(work)?.await.map_err(io::Error::other)
    }

    /// Lets `work` run on these threads.
    pub(crate) fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        let runtime = self.0.as_ref().ok_or(io::ErrorKind::NotConnected)?;
        Ok(runtime.spawn(work))
    }
}

impl Drop for QueryRuntime {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            // What still runs was cancelled before; a task of the caller's runtime may not wait here.
            runtime.shutdown_background();
        }
    }
}

fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}

/// How many threads there are, and how many of them the joins of one question may hold: never all, whatever runs.
fn shares(questions: usize, processors: usize) -> (usize, usize) {
    let each = (processors + 1).min((MAX_MAKING / questions.max(1)).max(2));
    (questions.max(1) * each, each - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_joins_of_all_turns_leave_a_thread() {
        for questions in [1, 2, 8, 64, 256] {
            for processors in [1, 2, 16, 64, 255, 256, 1024] {
                let (threads, joins) = shares(questions, processors);
                assert!(joins >= 1 && joins <= processors, "{questions} {processors}");
                assert!(threads > questions * joins, "{questions} {processors}");
                assert!(threads <= MAX_MAKING.max(2 * questions), "{questions} {processors}");
            }
        }
        assert_eq!(shares(8, 2), (24, 2));
    }
}

//! The threads that questions run on.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Runtime};

/// Texts may nest as deep as `statement::MAX_NESTING`, and a plan is walked, and dropped, level by level: in a build
/// without optimisation a level takes kilobytes. Memory is only taken where a stack is used.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Threads of the service's own: a long question never holds up what passes the gateway in the same process.
#[derive(Debug)]
pub(crate) struct QueryRuntime(Option<Runtime>);

impl QueryRuntime {
    pub(crate) fn new() -> io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .enable_all()
            .thread_name("tallyport-query")
            .thread_stack_size(STACK_BYTES)
            .build()?;
        Ok(Self(Some(runtime)))
    }

    /// Runs `work` on these threads.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> io::Result<T> {
        let Some(runtime) = &self.0 else { return Err(io::ErrorKind::NotConnected.into()) };
        runtime.spawn(work).await.map_err(io::Error::other)
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

//! The suite on the backends that need no service.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use tallyport_eventlog::backends::memory::MemoryLog;
use tallyport_eventlog::conformance::{Fixture, Violation, run_all};
use tallyport_eventlog::faults::FaultLog;
use tallyport_eventlog::{EmbeddedOptions, Log, LogUrl, open};
use tempfile::TempDir;

#[derive(Debug)]
struct Memory {
    partitions: u32,
    behind_faults: bool,
}

#[async_trait]
impl Fixture for Memory {
    async fn fresh(&self) -> Result<Arc<dyn Log>, Violation> {
        let log: Arc<dyn Log> = Arc::new(MemoryLog::with_partitions(self.partitions));
        Ok(if self.behind_faults { Arc::new(FaultLog::new(log)) } else { log })
    }

    async fn reopen(&self, _log: Arc<dyn Log>) -> Result<Option<Arc<dyn Log>>, Violation> {
        Ok(None)
    }
}

#[derive(Debug)]
struct Embedded {
    dir: TempDir,
    made: AtomicU32,
}

impl Embedded {
    async fn open(&self, number: u32) -> Result<Arc<dyn Log>, Violation> {
        let url = LogUrl::Embedded(EmbeddedOptions::new(self.dir.path().join(number.to_string())));
        open(&url).await.map_err(Violation::new)
    }
}

#[async_trait]
impl Fixture for Embedded {
    async fn fresh(&self) -> Result<Arc<dyn Log>, Violation> {
        self.open(self.made.fetch_add(1, Ordering::Relaxed)).await
    }

    async fn reopen(&self, log: Arc<dyn Log>) -> Result<Option<Arc<dyn Log>>, Violation> {
        drop(log);
        self.open(self.made.load(Ordering::Relaxed) - 1).await.map(Some)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_keeps_the_promises() {
    run_all(&Memory { partitions: 1, behind_faults: false }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn memory_with_partitions_keeps_the_promises() {
    run_all(&Memory { partitions: 5, behind_faults: false }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_fault_log_without_faults_keeps_the_promises() {
    run_all(&Memory { partitions: 2, behind_faults: true }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn embedded_keeps_the_promises() {
    let dir = tempfile::tempdir().unwrap();
    run_all(&Embedded { dir, made: AtomicU32::new(0) }).await.unwrap();
}

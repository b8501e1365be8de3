//! For tests: a place in memory for a table, whose store fails as it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use async_trait::async_trait;
use deltalake::{DeltaTable, DeltaTableBuilder};
use futures::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use tallyport_eventlog::LogId;
use tokio_util::task::TaskTracker;
use url::Url;

use super::definition::TableDefinition;
use super::store::Storage;
use super::table::Table;

pub(super) const HEALTHY: u8 = 0;
pub(super) const FAIL_BEFORE_WRITING: u8 = 1;
pub(super) const FAIL_AFTER_WRITING: u8 = 2;
/// Answers as a store does when its client repeats a request whose first answer was lost.
pub(super) const TAKEN_BY_ITSELF: u8 = 3;
/// Takes commits, and no checkpoints.
pub(super) const FAIL_CHECKPOINTS: u8 = 4;

/// Puts objects over others, whatever was asked for.
pub(super) const OVERWRITES: u8 = 5;

#[derive(Debug)]
struct FaultyStore {
    inner: Arc<InMemory>,
    fault: Arc<AtomicU8>,
    requests: Arc<AtomicU64>,
}

impl std::fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("faulty")
    }
}

fn outage() -> object_store::Error {
    object_store::Error::Generic { store: "faulty", source: "the connection was lost".into() }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(&self, at: &Path, content: PutPayload, how: PutOptions) -> Result<PutResult> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        if self.fault.load(Ordering::SeqCst) == FAIL_CHECKPOINTS {
            let checkpoint = at.as_ref().contains("checkpoint");
            return match checkpoint {
                true => Err(outage()),
                false => self.inner.put_opts(at, content, how).await,
            };
        }
        if self.fault.load(Ordering::SeqCst) == OVERWRITES {
            return self.inner.put_opts(at, content, PutMode::Overwrite.into()).await;
        }
        let fault = match at.as_ref().contains("_delta_log/0") {
            true => self.fault.swap(HEALTHY, Ordering::SeqCst),
            false => HEALTHY,
        };
        if fault == FAIL_BEFORE_WRITING {
            return Err(outage());
        }
        let written = self.inner.put_opts(at, content, how).await?;
        match fault {
            FAIL_AFTER_WRITING => Err(outage()),
            TAKEN_BY_ITSELF => Err(object_store::Error::AlreadyExists {
                path: at.to_string(),
                source: "412 Precondition Failed".into(),
            }),
            _ => Ok(written),
        }
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(at, how).await
    }

    async fn get_opts(&self, at: &Path, how: GetOptions) -> Result<GetResult> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.inner.get_opts(at, how).await
    }

    fn delete_stream(
        &self,
        which: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(which)
    }

    fn list(&self, below: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.requests.fetch_add(1, Ordering::SeqCst);
        self.inner.list(below)
    }

    async fn list_with_delimiter(&self, below: Option<&Path>) -> Result<ListResult> {
        self.inner.list_with_delimiter(below).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, how).await
    }
}

pub(super) fn log() -> LogId {
    LogId::new("test", "one")
}

pub(super) struct Place {
    pub(super) inner: Arc<InMemory>,
    pub(super) fault: Arc<AtomicU8>,
    requests: Arc<AtomicU64>,
}

impl Place {
    pub(super) fn new() -> Self {
        Self {
            inner: Arc::new(InMemory::new()),
            fault: Arc::new(AtomicU8::new(HEALTHY)),
            requests: Arc::default(),
        }
    }

    pub(super) fn storage(&self) -> Storage {
        let url = Url::parse("memory:///dead_letters/").unwrap();
        let store = FaultyStore {
            inner: self.inner.clone(),
            fault: self.fault.clone(),
            requests: self.requests.clone(),
        };
        let log_store = DeltaTableBuilder::from_url(url.clone())
            .unwrap()
            .with_storage_backend(Arc::new(store), url.clone())
            .build_storage()
            .unwrap();
        Storage { url, log_store, local: None }
    }

    pub(super) async fn table(&self) -> Table {
        self.table_of(2).await
    }

    pub(super) async fn table_of(&self, partitions: u64) -> Table {
        let app_ids = (0..partitions).map(|partition| format!("test/{partition}")).collect();
        Table::open(
            self.storage(),
            TableDefinition::dead_letters(),
            &log(),
            app_ids,
            (false, true),
            TaskTracker::new(),
        )
        .await
        .unwrap()
    }

    /// Requests to the store since the last look.
    pub(super) fn requests(&self) -> u64 {
        self.requests.swap(0, Ordering::SeqCst)
    }

    /// Commits in the table's log, version 0 included.
    pub(super) async fn versions(&self) -> u64 {
        let mut table = DeltaTable::new(self.storage().log_store);
        table.load().await.unwrap();
        table.version().unwrap() + 1
    }
}

//! What it costs at the object store to know where the lake stands: reads of Delta's own log, counted.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use deltalake::logstore::object_store::memory::InMemory;
use deltalake::logstore::object_store::path::Path;
use deltalake::logstore::object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    ObjectStoreExt as _, PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};
use deltalake::logstore::{
    LogStore, LogStoreFactory, ObjectStoreFactory, ObjectStoreRef, StorageConfig, default_logstore,
    logstore_factories, object_store_factories,
};
use deltalake::{DeltaResult, DeltaTableBuilder, checkpoints};
use futures::stream::BoxStream;
use tallyport_eventlog::backends::memory::MemoryLog;
use tallyport_eventlog::faults::FaultLog;
use tallyport_eventlog::{Log as _, Topic};
use tallyport_query::LakeConfig;
use tallyport_schemas::lake;
use url::Url;

use crate::freshness::event;
use crate::world::{Setup, World, appender, record};

/// How the service reaches the store; how the stand-in for the recorder does, uncounted.
const COUNTED: &str = "counted";
const QUIET: &str = "quiet";

/// Commits before the checkpoint and behind it.
const CHECKPOINT: u64 = 60;
const BEHIND: u64 = 30;

/// The Delta library reads a commit twice (for the schema, for the files), the positions are read once.
const READS_PER_COMMIT: u64 = 3;

static INNER: LazyLock<Arc<InMemory>> = LazyLock::new(Arc::default);
/// Reads of commits in Delta's log.
static COMMITS_READ: AtomicU64 = AtomicU64::new(0);

#[tokio::test(flavor = "multi_thread")]
async fn commits_are_read_once_whatever_the_partitions() {
    register();
    for partitions in [1, 12] {
        let place = format!("lake-{partitions}");
        prepare(&place, partitions).await;
        let _others = COMMITS_READ.swap(0, Ordering::SeqCst);
        let lake = Some(config(COUNTED, &place));
        let world = World::with(Setup { partitions, lake, ..Setup::default() }).await;
        while world.latest(0).await < 1 {
            world.commit(event("SELECT 1")).await;
        }
        let mut version = CHECKPOINT + BEHIND;
        until(&world, version).await;
        let cold = COMMITS_READ.swap(0, Ordering::SeqCst);
        assert!(
            cold <= READS_PER_COMMIT * BEHIND,
            "{cold} reads after a start with {BEHIND} commits behind the checkpoint, {partitions} partitions"
        );
        let more = 10;
        for _ in 0..more {
            version += 1;
            commit(&place, version, partitions).await;
            until(&world, version).await;
        }
        let followed = COMMITS_READ.swap(0, Ordering::SeqCst);
        assert!(
            followed <= READS_PER_COMMIT * more,
            "{followed} reads for {more} commits more, {partitions} partitions"
        );
        eprintln!(
            "FIGURE {partitions} partitions: {cold} reads cold, {followed} for {more} commits"
        );
        world.running.stop().await;
    }
}

async fn until(world: &World, version: u64) {
    let seen = async {
        loop {
            let (status, answer) = world.try_sql("auditor", "SELECT count(*) FROM events").await;
            assert_eq!(status, 200, "{answer}");
            if answer["snapshot_version"] == version {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), seen).await.expect("the snapshot is found");
}

/// A table with one event in it, many commits that move positions, and one checkpoint.
async fn prepare(place: &str, partitions: u32) {
    let log = Arc::new(FaultLog::new(Arc::new(MemoryLog::with_partitions(1))));
    let writer = appender(&log, "gw-0").await;
    let _durable = writer.commit(event("SELECT 0")).await.unwrap();
    assert!(log.latest(Topic::Audit, 0).await.unwrap() > 0);
    let quiet = config(QUIET, place);
    record(log.as_ref(), &quiet, 0, 1).await;
    for version in 1..=CHECKPOINT + BEHIND {
        commit(place, version, partitions).await;
        if version == CHECKPOINT {
            let url = quiet.url.join(&format!("/{place}/events/")).unwrap();
            let table = DeltaTableBuilder::from_url(url).unwrap().load().await.unwrap();
            checkpoints::create_checkpoint(&table, None).await.unwrap();
        }
    }
}

/// A commit that has nothing but a position. Partition 0 has one event in the lake, the others none.
async fn commit(place: &str, version: u64, partitions: u32) {
    let partition = u32::try_from(version % u64::from(partitions)).unwrap();
    let (app, next) = (lake::app_id(partition), u8::from(partition == 0));
    let content = format!(
        "{{\"commitInfo\":{{\"timestamp\":0,\"operation\":\"WRITE\"}}}}\n{{\"txn\":{{\"appId\":\"{app}\",\"version\":{next}}}}}\n"
    );
    let path = Path::from(format!("{place}/events/_delta_log/{version:020}.json"));
    let _written = INNER.put(&path, content.into()).await.unwrap();
}

fn config(scheme: &str, place: &str) -> LakeConfig {
    LakeConfig::new(format!("{scheme}://host/{place}").parse().unwrap())
}

fn register() {
    for scheme in [COUNTED, QUIET] {
        let url = Url::parse(&format!("{scheme}://")).unwrap();
        object_store_factories().insert(url.clone(), Arc::new(Factory));
        logstore_factories().insert(url, Arc::new(Factory));
    }
}

struct Factory;

impl ObjectStoreFactory for Factory {
    fn parse_url_opts(&self, url: &Url, _: &StorageConfig) -> DeltaResult<(ObjectStoreRef, Path)> {
        let store = Store { counted: url.scheme() == COUNTED };
        Ok((Arc::new(store), Path::from(url.path())))
    }
}

impl LogStoreFactory for Factory {
    fn with_options(
        &self,
        prefixed_store: ObjectStoreRef,
        root_store: ObjectStoreRef,
        location: &Url,
        options: &StorageConfig,
    ) -> DeltaResult<Arc<dyn LogStore>> {
        Ok(default_logstore(prefixed_store, root_store, location, options))
    }
}

#[derive(Debug)]
struct Store {
    counted: bool,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("counting")
    }
}

#[async_trait]
impl ObjectStore for Store {
    async fn put_opts(&self, at: &Path, content: PutPayload, how: PutOptions) -> Result<PutResult> {
        INNER.put_opts(at, content, how).await
    }

    async fn put_multipart_opts(
        &self,
        at: &Path,
        how: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        INNER.put_multipart_opts(at, how).await
    }

    async fn get_opts(&self, at: &Path, how: GetOptions) -> Result<GetResult> {
        // Whether it is there is looked at now and then, which reads nothing of it.
        let reads = self.counted && !how.head;
        if reads && at.as_ref().contains("_delta_log/") && at.extension() == Some("json") {
            COMMITS_READ.fetch_add(1, Ordering::SeqCst);
        }
        INNER.get_opts(at, how).await
    }

    fn delete_stream(
        &self,
        which: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        INNER.delete_stream(which)
    }

    fn list(&self, below: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        INNER.list(below)
    }

    async fn list_with_delimiter(&self, below: Option<&Path>) -> Result<ListResult> {
        INNER.list_with_delimiter(below).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, how: CopyOptions) -> Result<()> {
        INNER.copy_opts(from, to, how).await
    }
}

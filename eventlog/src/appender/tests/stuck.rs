//! A log that works on the thread that appends, and hangs.

use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicBool, AtomicU32};

use super::*;

/// A log whose appends block their thread while `stuck` is set: what a disk that hangs does.
#[derive(Debug)]
struct StuckLog {
    inner: MemoryLog,
    stuck: AtomicBool,
    upkeep: AtomicU32,
}

#[async_trait::async_trait]
impl Log for StuckLog {
    fn id(&self) -> &crate::LogId {
        self.inner.id()
    }

    async fn append(&self, batch: Vec<Record>) -> Result<Vec<Position>, AppendError> {
        while self.stuck.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.inner.append(batch).await
    }

    fn append_blocks(&self) -> bool {
        true
    }

    fn upkeep(&self) {
        self.upkeep.fetch_add(1, Relaxed);
    }

    fn partitions(&self, topic: Topic) -> u32 {
        self.inner.partitions(topic)
    }

    async fn read(
        &self,
        topic: Topic,
        from: Position,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<crate::Entry>, crate::ReadError> {
        self.inner.read(topic, from, max_bytes, wait).await
    }

    async fn earliest(&self, topic: Topic, partition: u32) -> Result<u64, crate::ReadError> {
        self.inner.earliest(topic, partition).await
    }

    async fn latest(&self, topic: Topic, partition: u32) -> Result<u64, crate::ReadError> {
        self.inner.latest(topic, partition).await
    }

    async fn release(&self, topic: Topic, upto: Position) -> Result<(), crate::ReadError> {
        self.inner.release(topic, upto).await
    }
}

/// One thread runs this test, so it would stand still if the append were not on another.
#[tokio::test]
async fn an_append_that_blocks_holds_up_nobody_and_is_told_by_health() {
    let log = Arc::new(StuckLog {
        inner: MemoryLog::new(),
        stuck: AtomicBool::new(false),
        upkeep: AtomicU32::new(0),
    });
    // Alike, as the defaults are: the one commit that gives up must tell, since no other may come.
    let limits = AppenderOptions { append_timeout: options().max_wait, ..options() };
    let shared: Arc<dyn Log> = Arc::clone(&log) as _;
    let id = ProducerId::parse("p").unwrap();
    let appender = Appender::start(shared, id, "gateway", limits).await.unwrap();
    assert!(appender.health().ok);

    log.stuck.store(true, Relaxed);
    let failed = appender.commit(draft()).await;
    assert!(matches!(failed, Err(CommitError::TimedOut { .. })), "{failed:?}");
    let health = appender.health();
    assert!(!health.ok && health.last_error.is_some(), "{health:?}");
    log.stuck.store(false, Relaxed);

    // It is on the log after all, so there is nothing to explain, and what comes next passes.
    let durable = appender.commit(draft()).await.unwrap();
    assert_eq!(durable.positions(), [Position { partition: 0, offset: 2 }]);
    assert!(appender.health().ok);
    appender.stop().await.unwrap();
    assert!(log.upkeep.load(Relaxed) > 0);
    let start = Position { partition: 0, offset: 0 };
    let entries = log.read(Topic::Audit, start, usize::MAX, Duration::ZERO).await.unwrap();
    let events: Vec<Event> =
        entries.iter().map(|entry| ocsf::decode(&entry.value).unwrap()).collect();
    assert_eq!(seqs(&events), [0, 1, 2, 3]);
}

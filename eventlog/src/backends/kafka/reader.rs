//! Reading: consumers with an assigned partition, kept for whoever reads on where they are.

use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt as _;
use parking_lot::Mutex;
use rdkafka::consumer::{BaseConsumer, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::KafkaError;
use crate::backends::ReadBudget;
use crate::{Entry, Position, ReadError};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// How long records that are known to be there may take to arrive.
const FETCH_PATIENCE: Duration = Duration::from_secs(10);
/// Consumers that are kept for the next read, for each partition: recorder, query, a gateway, and one to spare.
const MAX_IDLE_PER_PARTITION: usize = 4;
/// How often the end of a partition is looked at by who reads beyond it.
const BETWEEN_LOOKS: Duration = Duration::from_millis(200);

/// Reads partitions from any offset on.
pub(super) struct Readers {
    made_of: Mutex<MadeOf>,
    idle: Arc<Mutex<Idle>>,
}

/// What consumers are made of.
#[derive(Clone)]
struct MadeOf {
    config: ClientConfig,
    /// Asks for the ends of partitions.
    asker: Arc<BaseConsumer>,
    /// Grows with each renewal.
    age: u64,
}

/// Consumers that nobody reads from now, the longest unused first.
struct Idle {
    readings: VecDeque<Reading>,
    most: usize,
    /// Those of another age are not kept.
    age: u64,
}

/// A consumer and where it stands.
struct Reading {
    consumer: StreamConsumer,
    place: Option<Place>,
    /// Fetched, but over the last reader's budget.
    pending: Option<Entry>,
    /// That of what it was made of.
    age: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    topic: String,
    next: Position,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the settings: they may hold a password.
        f.debug_struct("Readers")
            .field("idle", &self.idle.lock().readings.len())
            .finish_non_exhaustive()
    }
}

impl Readers {
    /// For topics of `partitions` in total.
    pub(super) fn new(config: ClientConfig, partitions: u32) -> Result<Self, KafkaError> {
        let asker = config
            .create::<BaseConsumer>()
            .map_err(|error| KafkaError::Settings { reason: error.to_string() })?;
        let most = MAX_IDLE_PER_PARTITION * partitions as usize;
        let idle = Idle { readings: VecDeque::new(), most, age: 0 };
        let made_of = MadeOf { config, asker: Arc::new(asker), age: 0 };
        Ok(Self { made_of: Mutex::new(made_of), idle: Arc::new(Mutex::new(idle)) })
    }

    /// Makes consumers of other settings from now on; whoever reads now does so to the end of that read.
    pub(super) fn renew(&self, config: ClientConfig, asker: BaseConsumer) {
        let mut made_of = self.made_of.lock();
        let age = made_of.age + 1;
        let before =
            std::mem::replace(&mut *made_of, MadeOf { config, asker: Arc::new(asker), age });
        drop(made_of);
        let mut idle = self.idle.lock();
        idle.age = age;
        let readings = std::mem::take(&mut idle.readings);
        drop(idle);
        // Closing consumers blocks.
        drop(tokio::task::spawn_blocking(move || drop((before, readings))));
    }

    fn asker(&self) -> Arc<BaseConsumer> {
        Arc::clone(&self.made_of.lock().asker)
    }

    /// The offsets kept: from the first one on, to the one after the last durable one.
    pub(super) async fn watermarks(
        &self,
        topic: &str,
        partition: u32,
    ) -> Result<Range<u64>, ReadError> {
        let (asker, topic) = (self.asker(), topic.to_owned());
        let number = i32::try_from(partition).unwrap_or(i32::MAX);
        let ask = move || asker.fetch_watermarks(&topic, number, REQUEST_TIMEOUT);
        let (low, high) =
            tokio::task::spawn_blocking(ask).await.map_err(unavailable)?.map_err(unavailable)?;
        let offset = |stored: i64| u64::try_from(stored).unwrap_or_default();
        Ok(offset(low)..offset(high))
    }

    /// How many partitions a topic has now.
    pub(super) async fn partitions(&self, topic: &str) -> Result<u32, ReadError> {
        let (asker, name) = (self.asker(), topic.to_owned());
        let ask = move || asker.fetch_metadata(Some(&name), REQUEST_TIMEOUT);
        let metadata =
            tokio::task::spawn_blocking(ask).await.map_err(unavailable)?.map_err(unavailable)?;
        let found = metadata.topics().iter().find(|found| found.name() == topic);
        let count = found.map_or(0, |found| found.partitions().len());
        if count == 0 {
            return Err(unavailable(format!("the brokers do not tell of {topic}")));
        }
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    pub(super) async fn read(
        &self,
        topic: &str,
        from: Position,
        max_bytes: usize,
        deadline: Instant,
    ) -> Result<Vec<Entry>, ReadError> {
        let place = Place { topic: topic.to_owned(), next: from };
        let Some(mut lease) = self.lease(&place, deadline).await? else { return Ok(Vec::new()) };
        let mut entries = Vec::new();
        let mut budget = ReadBudget::new(max_bytes);
        loop {
            let next = self.next(&mut lease, &place, entries.is_empty(), deadline).await;
            // From here on a dropped call, or an error, leaves the consumer beyond `place`, or stuck before it.
            lease.moved |= !matches!(next, Ok(None));
            let Some(entry) = next? else { break };
            if !budget.take(entry.value.len()) {
                lease.pending(entry);
                break;
            }
            entries.push(entry);
        }
        let next = entries.last().map_or(from, |last: &Entry| Position {
            partition: from.partition,
            offset: last.position.offset + 1,
        });
        lease.give_back(Place { next, ..place });
        Ok(entries)
    }

    /// The next entry. The first is waited for; further ones are taken as far as they are here.
    async fn next(
        &self,
        lease: &mut Lease,
        place: &Place,
        first: bool,
        deadline: Instant,
    ) -> Result<Option<Entry>, ReadError> {
        let Some(reading) = lease.reading.as_mut() else { return Ok(None) };
        if let Some(pending) = reading.pending.take() {
            return Ok(Some(pending));
        }
        if !first {
            // What is wrong now is said by the next read.
            let here = reading.consumer.recv().now_or_never();
            let failed = matches!(here, Some(Err(_)));
            let next = here.and_then(Result::ok).map(|message| entry(&message));
            lease.failed |= failed;
            return Ok(next);
        }
        let waited = receive(&reading.consumer, deadline).await;
        if let Ok(Some(entry)) = waited {
            return Ok(Some(entry));
        }
        // Nothing came. That is the answer only when nothing is there; and an error may say that it is gone.
        let kept = self.watermarks(&place.topic, place.next.partition).await?;
        check_kept(place.next, &kept)?;
        waited?;
        if place.next.offset >= kept.end {
            return Ok(None);
        }
        if let Some(entry) = receive(&reading.consumer, Instant::now() + FETCH_PATIENCE).await? {
            return Ok(Some(entry));
        }
        // To say that nothing is there would be wrong, and this consumer may be stuck for good.
        let offset = place.next.offset;
        Err(unavailable(format!(
            "what is there from offset {offset} on did not arrive within {} s",
            FETCH_PATIENCE.as_secs()
        )))
    }

    /// A consumer that stands at `place`; `None` when the partition ends before it until the deadline.
    async fn lease(&self, place: &Place, deadline: Instant) -> Result<Option<Lease>, ReadError> {
        let lease = |reading| Lease {
            idle: Arc::clone(&self.idle),
            reading: Some(reading),
            moved: false,
            failed: false,
        };
        if let Some(reading) = self.take(|idle| idle.place.as_ref() == Some(place)) {
            return Ok(Some(lease(reading)));
        }
        loop {
            let kept = self.watermarks(&place.topic, place.next.partition).await?;
            check_kept(place.next, &kept)?;
            if place.next.offset <= kept.end {
                break;
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            sleep_until(deadline.min(Instant::now() + BETWEEN_LOOKS)).await;
        }
        // One that nobody will read on with: its place is unknown, or it is the longest unused.
        let unused = self.take(|idle| idle.place.is_none());
        let full = self.idle.lock().is_full();
        let unused = if full { unused.or_else(|| self.take(|_| true)) } else { unused };
        let (made_of, at) = (self.made_of.lock().clone(), place.clone());
        let assigned = tokio::task::spawn_blocking(move || assign(&made_of, unused, at));
        Ok(Some(lease(assigned.await.map_err(unavailable)?.map_err(unavailable)?)))
    }

    fn take(&self, fits: impl Fn(&Reading) -> bool) -> Option<Reading> {
        let readings = &mut self.idle.lock().readings;
        let at = readings.iter().position(fits)?;
        readings.remove(at)
    }
}

impl Idle {
    fn is_full(&self) -> bool {
        self.readings.len() >= self.most
    }
}

/// A consumer in use. Dropped in the middle of a read it goes back too, without a place when it has moved.
struct Lease {
    idle: Arc<Mutex<Idle>>,
    reading: Option<Reading>,
    /// Whether it stands elsewhere than its place says.
    moved: bool,
    /// Whether it said that something is wrong: it may give nothing from there, ever.
    failed: bool,
}

impl Lease {
    fn pending(&mut self, entry: Entry) {
        if let Some(reading) = self.reading.as_mut() {
            reading.pending = Some(entry);
        }
    }

    fn give_back(mut self, place: Place) {
        self.moved = self.failed;
        if let Some(reading) = self.reading.as_mut() {
            reading.place = Some(place);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(mut reading) = self.reading.take() else { return };
        if self.moved {
            reading.place = None;
            reading.pending = None;
        }
        let mut idle = self.idle.lock();
        let surplus = if reading.age != idle.age {
            Some(reading)
        } else {
            let surplus = if idle.is_full() { idle.readings.pop_front() } else { None };
            idle.readings.push_back(reading);
            surplus
        };
        drop(idle);
        if let (Some(surplus), Ok(runtime)) = (surplus, tokio::runtime::Handle::try_current()) {
            // Closing a consumer blocks.
            drop(runtime.spawn_blocking(move || drop(surplus)));
        }
    }
}

/// Lets a consumer, a new one where none is given, stand at `place`.
fn assign(made_of: &MadeOf, unused: Option<Reading>, place: Place) -> Result<Reading, ClientError> {
    let (consumer, age) = match unused {
        Some(reading) => (reading.consumer, reading.age),
        None => (made_of.config.create()?, made_of.age),
    };
    let mut list = TopicPartitionList::with_capacity(1);
    let partition = i32::try_from(place.next.partition).unwrap_or(i32::MAX);
    let offset = Offset::Offset(i64::try_from(place.next.offset).unwrap_or(i64::MAX));
    list.add_partition_offset(&place.topic, partition, offset)?;
    consumer.assign(&list)?;
    Ok(Reading { consumer, place: Some(place), pending: None, age })
}

/// The next record within the time. Errors that the client recovers from by itself are told only when time is up.
async fn receive(consumer: &StreamConsumer, deadline: Instant) -> Result<Option<Entry>, ReadError> {
    let mut trouble = None;
    loop {
        match timeout_at(deadline, consumer.recv()).await {
            Ok(Ok(message)) => return Ok(Some(entry(&message))),
            Ok(Err(error)) if recovers(&error) => trouble = Some(error),
            Ok(Err(error)) => return Err(unavailable(error)),
            Err(_elapsed) => return trouble.map_or(Ok(None), |error| Err(unavailable(error))),
        }
    }
}

fn recovers(error: &ClientError) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        error.rdkafka_error_code(),
        Some(
            Code::BrokerTransportFailure
                | Code::AllBrokersDown
                | Code::Resolve
                | Code::OperationTimedOut
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::NotCoordinator
                | Code::CoordinatorNotAvailable
        )
    )
}

fn entry(message: &BorrowedMessage<'_>) -> Entry {
    let position = Position {
        partition: u32::try_from(message.partition()).unwrap_or_default(),
        offset: u64::try_from(message.offset()).unwrap_or_default(),
    };
    let copy = |bytes: Option<&[u8]>| Bytes::copy_from_slice(bytes.unwrap_or_default());
    Entry {
        position,
        key: copy(message.key()),
        value: copy(message.payload()),
        appended_at_ms: message.timestamp().to_millis().unwrap_or_default(),
    }
}

fn check_kept(from: Position, kept: &Range<u64>) -> Result<(), ReadError> {
    if from.offset < kept.start {
        return Err(ReadError::Truncated {
            partition: from.partition,
            wanted: from.offset,
            earliest: kept.start,
        });
    }
    Ok(())
}

fn unavailable(error: impl fmt::Display) -> ReadError {
    ReadError::Unavailable { reason: error.to_string() }
}

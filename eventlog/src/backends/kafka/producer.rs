//! Appending: idempotent, confirmed by all in-sync replicas, and exact about what a failure means.

use std::fmt;

use futures::future::join_all;
use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError as ClientError, RDKafkaErrorCode};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};

use super::KafkaError;
use crate::{AppendError, Position, Record};

/// The producer, made anew when Kafka declares it dead, or with other credentials.
pub(super) struct Producer(Mutex<Current>);

struct Current {
    config: ClientConfig,
    producer: FutureProducer,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the settings: they may hold a password.
        f.write_str("Producer")
    }
}

impl Producer {
    pub(super) fn new(config: ClientConfig) -> Result<Self, KafkaError> {
        let settings = |error: ClientError| KafkaError::Settings { reason: error.to_string() };
        let producer = config.create().map_err(settings)?;
        Ok(Self(Mutex::new(Current { config, producer })))
    }

    /// Appends by other settings from now on. What is under way ends as it began.
    pub(super) fn renew(&self, config: ClientConfig) -> Result<(), KafkaError> {
        let fresh = Self::new(config)?.0.into_inner();
        let before = std::mem::replace(&mut *self.0.lock(), fresh);
        end(before.producer);
        Ok(())
    }

    /// Appends records to the topics and partitions named beside them.
    pub(super) async fn append(
        &self,
        batch: impl Iterator<Item = (&str, i32, &Record)> + Send,
    ) -> Result<Vec<Position>, AppendError> {
        let producer = self.current();
        let mut deliveries = Vec::new();
        for (topic, partition, record) in batch {
            let message = FutureRecord::to(topic).partition(partition);
            let message = message.key(&record.key[..]).payload(&record.value[..]);
            match producer.send_result(message) {
                Ok(delivery) => deliveries.push(delivery),
                Err((error, _)) => {
                    self.heal(&producer);
                    return Err(not_queued(&error, deliveries.is_empty()));
                }
            }
        }
        // From here on a crash, or a dropped call, leaves any part of the batch on the log: nobody was told.
        let mut positions = Vec::with_capacity(deliveries.len());
        let mut failures = Vec::new();
        for delivery in join_all(deliveries).await {
            match delivery {
                Ok(Ok(delivered)) => match position(delivered.partition, delivered.offset) {
                    Some(position) => positions.push(position),
                    None => failures.push(None),
                },
                Ok(Err((error, _))) => failures.push(error.rdkafka_error_code()),
                Err(_gone) => failures.push(None),
            }
        }
        if failures.is_empty() {
            return Ok(positions);
        }
        self.heal(&producer);
        Err(failed(&failures, positions.is_empty()))
    }

    pub(super) fn current(&self) -> FutureProducer {
        self.0.lock().producer.clone()
    }

    /// Replaces a producer that Kafka has declared dead, so that the next append works without a restart.
    fn heal(&self, used: &FutureProducer) {
        if used.client().fatal_error().is_none() {
            return;
        }
        let mut current = self.0.lock();
        if current.producer.client().fatal_error().is_none() {
            return;
        }
        match current.config.create() {
            Ok(fresh) => {
                let dead = std::mem::replace(&mut current.producer, fresh);
                drop(current);
                tracing::warn!("Kafka declared the producer dead; a new one takes over");
                end(dead);
            }
            Err(error) => tracing::error!(%error, "the Kafka producer cannot be made anew"),
        }
    }
}

/// Its end waits for its thread.
fn end(producer: FutureProducer) {
    drop(tokio::task::spawn_blocking(move || drop(producer)));
}

fn position(partition: i32, offset: i64) -> Option<Position> {
    // A duplicate that the broker found may be confirmed without its offset (-1).
    Some(Position {
        partition: u32::try_from(partition).ok()?,
        offset: u64::try_from(offset).ok()?,
    })
}

/// The first record was not even queued: nothing was sent. A later one was not: those before it are on their way.
fn not_queued(error: &ClientError, nothing_sent: bool) -> AppendError {
    let reason = match error.rdkafka_error_code() {
        Some(RDKafkaErrorCode::QueueFull) => {
            "the producer's queue is full; check that the brokers take events".to_owned()
        }
        _ => format!("Kafka's client does not take the record: {error}"),
    };
    if nothing_sent { AppendError::Refused { reason } } else { AppendError::Unknown { reason } }
}

/// Every record failed for a reason that excludes an earlier attempt that got through: refused. Else nobody knows.
fn failed(failures: &[Option<RDKafkaErrorCode>], all_failed: bool) -> AppendError {
    let certain = all_failed && failures.iter().all(|code| code.is_some_and(is_certain));
    let first = failures.first().copied().flatten();
    let reason = first.map_or_else(
        || "Kafka confirmed a record without saying where it is".to_owned(),
        what_to_do,
    );
    if certain { AppendError::Refused { reason } } else { AppendError::Unknown { reason } }
}

/// Whether the code says of the record itself that no broker ever takes it. Codes that depend on the moment do not:
/// an earlier attempt, whose answer was lost, may have been taken before the moment passed.
pub(super) const fn is_certain(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::MessageSizeTooLarge
            | RDKafkaErrorCode::MessageBatchTooLarge
            | RDKafkaErrorCode::InvalidMessageSize
            | RDKafkaErrorCode::InvalidRecord
            | RDKafkaErrorCode::UnknownPartition
    )
}

fn what_to_do(code: RDKafkaErrorCode) -> String {
    use RDKafkaErrorCode as Code;
    let hint = match code {
        Code::MessageTimedOut | Code::TimedOutQueue | Code::RequestTimedOut => {
            "the brokers did not confirm in time; check that they are up and reachable"
        }
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
            "too few replicas are in sync; bring the brokers back"
        }
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            "allow this user to Write the topic and to IdempotentWrite on the cluster"
        }
        Code::MessageSizeTooLarge | Code::MessageBatchTooLarge => {
            "raise max.message.bytes of the topic"
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition => "the topic is gone; create it again",
        _ => "see the brokers' logs",
    };
    format!("{code}; {hint}")
}

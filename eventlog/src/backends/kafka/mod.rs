//! The log on Kafka: idempotent producer, `acks=all`, topics that are checked before the first append.
//!
//! Offsets may have holes. Order within a partition is the order of the appends; a record's key chooses its partition.
//! How long records are kept is Kafka's own affair: [`Log::release`] does nothing. The number of partitions is read
//! when the log is opened; nothing goes to those that are added later, see [`partitioning`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::task::AbortOnDropHandle;

use super::{PerTopic, no_such_partition, read_deadline};
use crate::{AppendError, Entry, KafkaOptions, Log, LogId, Position, ReadError, Record, Topic};

mod client;
mod partitioning;
mod producer;
mod reader;
mod renewal;
mod topics;

#[cfg(test)]
mod tests;

use partitioning::partition_of;
use producer::Producer;
use reader::Readers;
use renewal::Clients;

/// The log on Kafka.
#[derive(Debug)]
pub struct KafkaLog {
    id: LogId,
    names: PerTopic<String>,
    partitions: PerTopic<u32>,
    clients: Arc<Clients>,
    _renewal: AbortOnDropHandle<()>,
}

/// The log on Kafka cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum KafkaError {
    /// A secret cannot be read.
    #[error("the log URL's option `{option}` names {place}, which cannot be read: {reason}")]
    Secret {
        /// The option.
        option: &'static str,
        /// The file or the variable.
        place: String,
        /// Why.
        reason: String,
    },
    /// A client cannot be made of the options.
    #[error("the Kafka client does not take its settings: {reason}")]
    Settings {
        /// Why.
        reason: String,
    },
    /// No broker answers.
    #[error(
        "no Kafka broker at {brokers} answers ({reason}); check the address, the network, \
         security.protocol and the credentials"
    )]
    Unreachable {
        /// The brokers that were asked.
        brokers: String,
        /// Why.
        reason: String,
    },
    /// A topic does not exist and must not be made.
    #[error(
        "the topic {topic} does not exist; create it, or allow it with create=true in the log URL"
    )]
    Absent {
        /// The topic.
        topic: String,
    },
    /// A topic cannot be made.
    #[error("the topic {topic} cannot be created: {reason}")]
    Create {
        /// The topic.
        topic: String,
        /// Why.
        reason: String,
    },
    /// A topic's settings cannot be read.
    #[error(
        "the settings of the topic {topic} cannot be read ({reason}); allow this user to Describe and \
         DescribeConfigs it"
    )]
    Unreadable {
        /// The topic.
        topic: String,
        /// Why.
        reason: String,
    },
    /// The control topic has more than one order.
    #[error(
        "the topic {topic} has {found} partitions; what every gateway reads needs one order: delete it and create it with \
         one partition"
    )]
    NoOrder {
        /// The topic.
        topic: String,
        /// How many partitions it has.
        found: u32,
    },
    /// A topic would lose what was acknowledged, or refuse what has to be recorded.
    #[error(
        "the topic {topic} has {setting}={found}, which {danger}; run: kafka-configs.sh --alter \
         --entity-type topics --entity-name {topic} --add-config {setting}={fix}"
    )]
    Unsafe {
        /// The topic.
        topic: String,
        /// The setting.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What comes of it.
        danger: &'static str,
        /// The value it needs.
        fix: String,
    },
}

impl KafkaLog {
    /// Connects, makes absent topics where that is allowed, and checks both.
    ///
    /// # Errors
    /// See [`KafkaError`].
    ///
    /// # Cancel safety
    /// A dropped call may leave made topics behind, and nothing else.
    pub async fn open(options: KafkaOptions) -> Result<Self, KafkaError> {
        let config = client::base(&options)?;
        let named = |topic: Topic| format!("{}{}", options.topic_prefix, topic.name());
        let names = PerTopic { audit: named(Topic::Audit), control: named(Topic::Control) };
        let partitions = match topics::ensure(&config, &options, &names).await {
            Err(KafkaError::Unreachable { brokers, reason }) => {
                let asking = config.clone();
                let said = tokio::task::spawn_blocking(move || client::why_not(&asking)).await;
                let reason = said.ok().flatten().unwrap_or(reason);
                return Err(KafkaError::Unreachable { brokers, reason });
            }
            ensured => ensured?,
        };
        let cluster = topics::cluster_id(&config, &options).await?;
        let id = LogId::new("kafka", &format!("{cluster}:{}", names.audit));
        let producer = Producer::new(client::producer(&config, &options))?;
        let total = partitions.audit.saturating_add(partitions.control);
        let readers = Readers::new(client::consumer(&config), total)?;
        let clients = Arc::new(Clients { producer, readers });
        let topics = [names.audit.clone(), names.control.clone()];
        let follow = renewal::follow(options, config, (Arc::clone(&clients), topics));
        let renewal = tokio::spawn(follow);
        Ok(Self { id, names, partitions, clients, _renewal: AbortOnDropHandle::new(renewal) })
    }

    fn check_partition(&self, topic: Topic, partition: u32) -> Result<&str, ReadError> {
        let partitions = *self.partitions.get(topic);
        if partition < partitions {
            Ok(self.names.get(topic))
        } else {
            Err(no_such_partition(topic, partition, partitions))
        }
    }
}

#[async_trait]
impl Log for KafkaLog {
    fn id(&self) -> &LogId {
        &self.id
    }

    async fn append(&self, batch: Vec<Record>) -> Result<Vec<Position>, AppendError> {
        batch.iter().try_for_each(Record::check_size)?;
        let named = batch.iter().map(|record| {
            let partition = partition_of(&record.key, *self.partitions.get(record.topic));
            (self.names.get(record.topic).as_str(), partition, record)
        });
        self.clients.producer.append(named).await
    }

    fn partitions(&self, topic: Topic) -> u32 {
        *self.partitions.get(topic)
    }

    async fn partitions_now(&self, topic: Topic) -> Result<u32, ReadError> {
        self.clients.readers.partitions(self.names.get(topic)).await
    }

    async fn read(
        &self,
        topic: Topic,
        from: Position,
        max_bytes: usize,
        wait: Duration,
    ) -> Result<Vec<Entry>, ReadError> {
        let name = self.check_partition(topic, from.partition)?;
        self.clients.readers.read(name, from, max_bytes, read_deadline(wait)).await
    }

    async fn earliest(&self, topic: Topic, partition: u32) -> Result<u64, ReadError> {
        let name = self.check_partition(topic, partition)?;
        self.clients.readers.watermarks(name, partition).await.map(|kept| kept.start)
    }

    async fn latest(&self, topic: Topic, partition: u32) -> Result<u64, ReadError> {
        let name = self.check_partition(topic, partition)?;
        self.clients.readers.watermarks(name, partition).await.map(|kept| kept.end)
    }

    async fn release(&self, topic: Topic, upto: Position) -> Result<(), ReadError> {
        self.check_partition(topic, upto.partition).map(|_| ())
    }
}

//! The topics: made where they are absent, and checked before anything is appended.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::RDKafkaErrorCode;

use super::KafkaError;
use super::client::MAX_MESSAGE_BYTES;
use crate::backends::PerTopic;
use crate::{KafkaOptions, Topic};

const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Copies of a topic that is made here, where the cluster has as many brokers and nothing else is asked for.
const WANTED_REPLICATION: usize = 3;
/// Requests for approvals count for a day at most, and a gateway may be down for another.
const MIN_CONTROL_RETENTION_MS: i64 = 48 * 3600 * 1000;
/// How often a new topic is looked for until every broker knows it.
const LOOKS: u32 = 40;
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// What decides whether a topic keeps what it acknowledged.
#[derive(Clone, Debug)]
pub(super) struct TopicFacts {
    pub(super) name: String,
    pub(super) partitions: u32,
    /// The least over its partitions.
    pub(super) replication: usize,
    pub(super) settings: Vec<(String, String)>,
}

/// What metadata tells of the cluster and one topic.
struct Seen {
    brokers: usize,
    /// Absent while the topic is.
    shape: Option<Shape>,
}

struct Shape {
    partitions: u32,
    replication: usize,
}

type Admin = AdminClient<DefaultClientContext>;

/// Makes absent topics where that is allowed, checks both, and tells how many partitions they have.
pub(super) async fn ensure(
    config: &ClientConfig,
    options: &KafkaOptions,
    names: &PerTopic<String>,
) -> Result<PerTopic<u32>, KafkaError> {
    let admin: Admin =
        config.create().map_err(|error| KafkaError::Settings { reason: error.to_string() })?;
    let admin = Arc::new(admin);
    let mut partitions = PerTopic::default();
    for topic in Topic::ALL {
        let name = names.get(topic).clone();
        let shape = match look(&admin, &name, options).await? {
            Seen { shape: Some(shape), .. } => shape,
            Seen { brokers, .. } if options.create => {
                create(&admin, topic, &name, brokers, options).await?
            }
            Seen { .. } => return Err(KafkaError::Absent { topic: name }),
        };
        let facts = describe(&admin, name, shape).await?;
        check(&facts)?;
        match topic {
            Topic::Audit => check_audit(&facts)?,
            Topic::Control => check_control(&facts)?,
        }
        if facts.replication == 1 {
            tracing::warn!(
                topic = facts.name,
                "the topic has one copy: the loss of its broker loses the log"
            );
        }
        *partitions.get_mut(topic) = facts.partitions;
    }
    Ok(partitions)
}

/// Refuses a topic that would lose acknowledged events or refuse large ones.
pub(super) fn check(facts: &TopicFacts) -> Result<(), KafkaError> {
    let value = |setting: &'static str| {
        let found = facts.settings.iter().find(|(name, _)| name == setting);
        found.map(|(_, value)| value.as_str()).ok_or_else(|| KafkaError::Unreadable {
            topic: facts.name.clone(),
            reason: format!("{setting} is not told"),
        })
    };
    let refuse = |setting, danger, fix: &str| {
        let found = value(setting)?.to_owned();
        let topic = facts.name.clone();
        Err(KafkaError::Unsafe { topic, setting, found, danger, fix: fix.to_owned() })
    };
    let number = |setting| Ok::<_, KafkaError>(value(setting)?.parse::<usize>().unwrap_or(0));
    let min_insync = number("min.insync.replicas")?;
    if facts.replication > 1 && min_insync < 2 {
        let danger = "acknowledges events that only one broker has";
        return refuse("min.insync.replicas", danger, "2");
    }
    if min_insync > facts.replication {
        let danger = "asks for more copies than the topic has, so that every append is refused";
        return refuse("min.insync.replicas", danger, &facts.replication.to_string());
    }
    if value("unclean.leader.election.enable")? != "false" {
        let danger = "lets a broker without the latest events take over and drop them";
        return refuse("unclean.leader.election.enable", danger, "false");
    }
    if value("cleanup.policy")? != "delete" {
        let danger = "removes earlier events of a session";
        return refuse("cleanup.policy", danger, "delete");
    }
    if number("max.message.bytes")? < MAX_MESSAGE_BYTES {
        let danger = "refuses events that carry large responses";
        return refuse("max.message.bytes", danger, &MAX_MESSAGE_BYTES.to_string());
    }
    Ok(())
}

/// The lake is partitioned by the day on which the log took a record: that is the broker's word, not a producer's.
pub(super) fn check_audit(facts: &TopicFacts) -> Result<(), KafkaError> {
    const SETTING: &str = "message.timestamp.type";
    const BY_BROKER: &str = "LogAppendTime";
    let found = facts.settings.iter().find(|(name, _)| name == SETTING);
    let found = found.map_or("", |(_, value)| value.as_str());
    if found == BY_BROKER {
        return Ok(());
    }
    Err(KafkaError::Unsafe {
        topic: facts.name.clone(),
        setting: SETTING,
        found: found.to_owned(),
        danger: "lets whoever writes to it choose the day under which an event is found",
        fix: BY_BROKER.to_owned(),
    })
}

/// Every gateway reads the whole control topic, in one order, whenever it starts: it has one partition, and keeps what it
/// has for longer than anything on it can count.
pub(super) fn check_control(facts: &TopicFacts) -> Result<(), KafkaError> {
    if facts.partitions != 1 {
        let topic = facts.name.clone();
        return Err(KafkaError::NoOrder { topic, found: facts.partitions });
    }
    let kept = facts.settings.iter().find(|(name, _)| name == "retention.ms");
    let kept = kept.map_or("", |(_, value)| value.as_str()).to_owned();
    // -1: for ever.
    if kept.parse::<i64>().is_ok_and(|ms| ms == -1 || ms >= MIN_CONTROL_RETENTION_MS) {
        return Ok(());
    }
    Err(KafkaError::Unsafe {
        topic: facts.name.clone(),
        setting: "retention.ms",
        found: kept,
        danger: "forgets approvals that still count",
        fix: "-1".to_owned(),
    })
}

/// What the cluster tells. It asks for all topics, since asking for one by name may create it.
async fn look(admin: &Arc<Admin>, name: &str, options: &KafkaOptions) -> Result<Seen, KafkaError> {
    let unreachable =
        |reason: String| KafkaError::Unreachable { brokers: options.brokers.join(","), reason };
    let admin = Arc::clone(admin);
    let ask = move || admin.inner().fetch_metadata(None, REQUEST_TIMEOUT);
    let asked = tokio::task::spawn_blocking(ask).await;
    let metadata = asked
        .map_err(|error| unreachable(error.to_string()))?
        .map_err(|error| unreachable(error.to_string()))?;
    let found = metadata.topics().iter().find(|topic| topic.name() == name);
    let shape = found.and_then(|topic| {
        let partitions = topic.partitions();
        // A topic that was just made has an error, or no partitions, until all brokers know it.
        let settled = topic.error().is_none() && !partitions.is_empty();
        settled.then(|| Shape {
            partitions: u32::try_from(partitions.len()).unwrap_or(u32::MAX),
            replication: partitions.iter().map(|p| p.replicas().len()).min().unwrap_or(0),
        })
    });
    Ok(Seen { brokers: metadata.brokers().len(), shape })
}

/// The id that the cluster gave itself when it was formatted.
pub(super) async fn cluster_id(
    config: &ClientConfig,
    options: &KafkaOptions,
) -> Result<String, KafkaError> {
    let unreachable =
        |reason: String| KafkaError::Unreachable { brokers: options.brokers.join(","), reason };
    let admin: Admin = config.create().map_err(|error| unreachable(error.to_string()))?;
    let ask = move || admin.inner().fetch_cluster_id(REQUEST_TIMEOUT);
    let asked = tokio::task::spawn_blocking(ask).await;
    let id = asked.map_err(|error| unreachable(error.to_string()))?;
    id.ok_or_else(|| unreachable("they do not tell the id of their cluster".to_owned()))
}

async fn create(
    admin: &Arc<Admin>,
    topic: Topic,
    name: &str,
    brokers: usize,
    options: &KafkaOptions,
) -> Result<Shape, KafkaError> {
    let failed = |reason: String| KafkaError::Create { topic: name.to_owned(), reason };
    let replication =
        options.replication.map_or(brokers.min(WANTED_REPLICATION), usize::from).max(1);
    let partitions = match topic {
        Topic::Audit => i32::try_from(options.partitions).unwrap_or(i32::MAX),
        // Every gateway reads all of it, in one order.
        Topic::Control => 1,
    };
    let min_insync = if replication > 1 { "2" } else { "1" };
    let max_message_bytes = MAX_MESSAGE_BYTES.to_string();
    let copies = TopicReplication::Fixed(i32::try_from(replication).unwrap_or(i32::MAX));
    let new = NewTopic::new(name, partitions, copies)
        .set("min.insync.replicas", min_insync)
        .set("unclean.leader.election.enable", "false")
        .set("cleanup.policy", "delete")
        .set("max.message.bytes", &max_message_bytes)
        .set("message.timestamp.type", "LogAppendTime");
    // Few and small, and a gateway that starts needs them.
    let new = if topic == Topic::Control { new.set("retention.ms", "-1") } else { new };
    let timeouts = AdminOptions::new()
        .request_timeout(Some(REQUEST_TIMEOUT))
        .operation_timeout(Some(REQUEST_TIMEOUT));
    let answers =
        admin.create_topics([&new], &timeouts).await.map_err(|error| failed(error.to_string()))?;
    for answer in answers {
        match answer {
            // Another service was first: what it made is checked like any other.
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(failed(code.to_string())),
        }
    }
    for _ in 0..LOOKS {
        if let Some(shape) = look(admin, name, options).await?.shape {
            tracing::info!(topic = name, partitions, replication, "made the topic");
            return Ok(shape);
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    Err(failed("it was made, but no broker tells of it".to_owned()))
}

/// What the brokers say of a topic. One that was just made tells nothing of its settings until every broker knows it.
async fn describe(admin: &Admin, name: String, shape: Shape) -> Result<TopicFacts, KafkaError> {
    let mut settings = settings(admin, &name).await?;
    for _ in 0..LOOKS {
        if !settings.is_empty() {
            break;
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
        settings = self::settings(admin, &name).await?;
    }
    Ok(TopicFacts { name, partitions: shape.partitions, replication: shape.replication, settings })
}

async fn settings(admin: &Admin, name: &str) -> Result<Vec<(String, String)>, KafkaError> {
    let unreadable = |reason: String| KafkaError::Unreadable { topic: name.to_owned(), reason };
    let asked = [ResourceSpecifier::Topic(name)];
    let timeout = AdminOptions::new().request_timeout(Some(REQUEST_TIMEOUT));
    let answers = admin.describe_configs(&asked, &timeout).await;
    let mut settings = Vec::new();
    for answer in answers.map_err(|error| unreadable(error.to_string()))? {
        let resource = answer.map_err(|code| unreadable(code.to_string()))?;
        let entries = resource.entries.into_iter();
        settings.extend(entries.filter_map(|entry| Some((entry.name, entry.value?))));
    }
    Ok(settings)
}

//! Settings of the Kafka clients.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, ConsumerContext};
use rdkafka::error::KafkaError as ClientError;

use super::KafkaError;
use crate::{KafkaOptions, Record, SecretSource};

/// A record with its headers and the batch around it.
pub(super) const MAX_MESSAGE_BYTES: usize = Record::MAX_VALUE_BYTES + 64 * 1024;
/// Records that wait in the producer; the appender's own bound is far below.
const MAX_QUEUED_RECORDS: usize = 200_000;
const MAX_QUEUED_KIB: usize = 128 * 1024;
/// What one consumer fetches ahead.
const MAX_AHEAD_KIB: usize = 8 * 1024;
/// Requests end by then, so that a dead broker is noticed well before an append times out.
const MAX_REQUEST_TIMEOUT_MS: u32 = 3000;
/// The longest a client takes to say why it gets nowhere.
const SAYS_WITHIN: Duration = Duration::from_secs(3);

/// What a client says of why it gets nowhere, where it says something: its own answer is that no broker answers, also where brokers
/// refuse who asks. Blocks for as long as it takes it to say so.
pub(super) fn why_not(config: &ClientConfig) -> Option<String> {
    let heard = Heard::default();
    let asker: BaseConsumer<Heard> = consumer(config).create_with_context(heard.clone()).ok()?;
    let until = Instant::now() + SAYS_WITHIN;
    while Instant::now() < until && heard.0.lock().is_none() {
        let _nothing_is_read = asker.poll(Duration::from_millis(100));
    }
    heard.0.lock().take()
}

/// Keeps the first error.
#[derive(Clone, Debug, Default)]
struct Heard(Arc<Mutex<Option<String>>>);

impl ClientContext for Heard {
    fn error(&self, _: ClientError, reason: &str) {
        self.0.lock().get_or_insert_with(|| reason.to_owned());
    }
}

impl ConsumerContext for Heard {}

/// What all clients share: where the brokers are and how they are spoken to.
pub(super) fn base(options: &KafkaOptions) -> Result<ClientConfig, KafkaError> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", options.brokers.join(","))
        .set("client.id", "tallyport")
        .set("security.protocol", &options.security_protocol)
        .set("socket.keepalive.enable", "true")
        // A small request behind another one does not wait for the broker's acknowledgement of that (RFC 896).
        .set("socket.nagle.disable", "true")
        .set("socket.connection.setup.timeout.ms", "5000")
        // A broker that comes back is found within a second.
        .set("reconnect.backoff.ms", "50")
        .set("reconnect.backoff.max.ms", "1000")
        .set("allow.auto.create.topics", "false");
    if let Some(mechanism) = &options.sasl_mechanism {
        config.set("sasl.mechanism", mechanism);
    }
    if let Some(source) = &options.sasl_username {
        config.set("sasl.username", secret("sasl.username", source)?);
    }
    if let Some(source) = &options.sasl_password {
        config.set("sasl.password", secret("sasl.password", source)?);
    }
    for (name, path) in files(options) {
        config.set(name, path.display().to_string());
    }
    Ok(config)
}

/// The files that are named, by what they are to the client.
pub(super) fn files(options: &KafkaOptions) -> impl Iterator<Item = (&'static str, &PathBuf)> {
    let files = [
        ("ssl.ca.location", &options.ssl_ca),
        ("ssl.certificate.location", &options.ssl_certificate),
        ("ssl.key.location", &options.ssl_key),
    ];
    files.into_iter().filter_map(|(name, file)| Some((name, file.as_ref()?)))
}

pub(super) fn producer(base: &ClientConfig, options: &KafkaOptions) -> ClientConfig {
    let mut config = base.clone();
    let request_timeout_ms = options.message_timeout_ms.min(MAX_REQUEST_TIMEOUT_MS);
    config
        .set("enable.idempotence", "true")
        .set("acks", "all")
        .set("compression.codec", "zstd")
        // The appender groups already, and everybody waits for what it groups: to linger for more, be it for less than a
        // millisecond, costs a whole one.
        .set("linger.ms", "0")
        .set("batch.num.messages", "10000")
        .set("batch.size", "4194304")
        .set("message.max.bytes", MAX_MESSAGE_BYTES.to_string())
        .set("message.timeout.ms", options.message_timeout_ms.to_string())
        .set("request.timeout.ms", request_timeout_ms.to_string())
        .set("retry.backoff.ms", "50")
        .set("queue.buffering.max.messages", MAX_QUEUED_RECORDS.to_string())
        .set("queue.buffering.max.kbytes", MAX_QUEUED_KIB.to_string());
    config
}

pub(super) fn consumer(base: &ClientConfig) -> ClientConfig {
    let mut config = base.clone();
    config
        // Never joined and never committed to: positions are kept by who reads.
        .set("group.id", "tallyport-reader")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        // An offset that is gone is an error, never a jump.
        .set("auto.offset.reset", "error")
        .set("isolation.level", "read_committed")
        .set("check.crcs", "true")
        .set("enable.partition.eof", "false")
        // A consumer that changes its place waits for the request that is on its way.
        .set("fetch.wait.max.ms", "250")
        .set("fetch.error.backoff.ms", "100")
        .set("fetch.message.max.bytes", MAX_MESSAGE_BYTES.to_string())
        .set("fetch.max.bytes", (2 * MAX_MESSAGE_BYTES).to_string())
        .set("receive.message.max.bytes", (3 * MAX_MESSAGE_BYTES).to_string())
        .set("queued.max.messages.kbytes", MAX_AHEAD_KIB.to_string())
        // A partition of which enough is here is asked again after this. It is a second unless said otherwise, in which a
        // reader that is quick has nothing to do.
        .set("fetch.queue.backoff.ms", "10");
    config
}

fn secret(option: &'static str, source: &SecretSource) -> Result<String, KafkaError> {
    match source {
        SecretSource::Text(text) => Ok(text.clone()),
        SecretSource::Held(held) => Ok(held.expose().to_string()),
        SecretSource::File(path) => {
            let read = std::fs::read_to_string(path).map_err(|error| KafkaError::Secret {
                option,
                place: format!("the file {}", path.display()),
                reason: error.to_string(),
            })?;
            let text = read.strip_suffix('\n').unwrap_or(&read);
            Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
        }
        SecretSource::Env(name) => std::env::var(name).map_err(|error| KafkaError::Secret {
            option,
            place: format!("the environment variable {name}"),
            reason: error.to_string(),
        }),
    }
}

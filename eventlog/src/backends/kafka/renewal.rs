//! New credentials without a restart: what the options name is read again, tried at the brokers, and taken by every client
//! made from then on. What does not work is passed over, and what worked stays.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError as ClientError;
use tokio::time::{MissedTickBehavior, interval};
use zeroize::Zeroizing;

use super::producer::Producer;
use super::reader::Readers;
use super::{KafkaError, client};
use crate::KafkaOptions;

/// How often it is looked whether something is new.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long the brokers may take to say whether they take it.
const PATIENCE: Duration = Duration::from_secs(10);
/// What the client settings have of it.
const SECRETS: [&str; 2] = ["sasl.username", "sasl.password"];

/// Whatever speaks to the brokers.
#[derive(Debug)]
pub(super) struct Clients {
    pub(super) producer: Producer,
    pub(super) readers: Readers,
}

/// What may be renewed, as it was read.
#[derive(PartialEq, Eq)]
struct Read {
    secrets: Vec<Option<Zeroizing<String>>>,
    files: Vec<Zeroizing<Vec<u8>>>,
}

/// Renews `clients` for as long as it is polled; `config` is what they were made of.
pub(super) async fn follow(
    options: KafkaOptions,
    config: ClientConfig,
    (clients, names): (Arc<Clients>, [String; 2]),
) {
    let mut known = read(&options, &config).ok();
    let mut told = None;
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    looks.reset();
    loop {
        looks.tick().await;
        let own = options.clone();
        let of = tokio::task::spawn_blocking(move || look(&own));
        let outcome = match of.await {
            Ok(Ok((_, found))) if known.as_ref() == Some(&found) => {
                told = None;
                continue;
            }
            Ok(Ok((config, found))) => {
                let renewed = renew(&options, &config, (&clients, &names)).await;
                renewed.map(|()| known = Some(found))
            }
            Ok(Err(error)) => Err(error.to_string()),
            Err(gone) => Err(gone.to_string()),
        };
        match outcome {
            Ok(()) => {
                tracing::info!("new Kafka credentials count from now on");
                told = None;
            }
            Err(why) if told.as_ref() == Some(&why) => {}
            Err(why) => {
                tracing::error!(%why, "new Kafka credentials do not work; the last ones stay");
                told = Some(why);
            }
        }
    }
}

/// The settings as they would be made now.
fn look(options: &KafkaOptions) -> Result<(ClientConfig, Read), KafkaError> {
    let config = client::base(options)?;
    let found = read(options, &config)?;
    Ok((config, found))
}

fn read(options: &KafkaOptions, config: &ClientConfig) -> Result<Read, KafkaError> {
    let secret = |name: &&str| config.get(name).map(|text| Zeroizing::new(text.to_owned()));
    let secrets = SECRETS.iter().map(secret).collect();
    let file = |(option, path): (&'static str, &PathBuf)| {
        let bytes = std::fs::read(path).map_err(|error| KafkaError::Secret {
            option,
            place: format!("the file {}", path.display()),
            reason: error.to_string(),
        })?;
        Ok(Zeroizing::new(bytes))
    };
    let files = client::files(options).map(file).collect::<Result<_, _>>()?;
    Ok(Read { secrets, files })
}

/// Lets the brokers say whether they take it before anything depends on it.
async fn renew(
    options: &KafkaOptions,
    config: &ClientConfig,
    (clients, names): (&Clients, &[String]),
) -> Result<(), String> {
    let consumer = client::consumer(config);
    let trying = consumer.clone();
    let topics: Vec<String> = names.to_vec();
    let tried = tokio::task::spawn_blocking(move || {
        let asker: BaseConsumer = trying.create()?;
        // Not only that it is known who asks: that they may see what is asked for.
        for topic in &topics {
            asker.fetch_watermarks(topic, 0, PATIENCE)?;
        }
        Ok::<_, ClientError>(asker)
    });
    let asker = tried.await.map_err(|gone| gone.to_string())?.map_err(|error| error.to_string())?;
    let renewed = clients.producer.renew(client::producer(config, options));
    renewed.map_err(|error| error.to_string())?;
    clients.readers.renew(consumer, asker);
    Ok(())
}

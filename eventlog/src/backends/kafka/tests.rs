use rdkafka::error::RDKafkaErrorCode;
use rdkafka::mocking::MockCluster;
use rdkafka::producer::Producer as _;
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::topics::{TopicFacts, check, check_audit, check_control};
use super::{client, producer};
use crate::{AppendError, KafkaOptions, LogUrl, Record, Topic};

fn options(text: &str) -> KafkaOptions {
    match LogUrl::parse(text).unwrap() {
        LogUrl::Kafka(options) => options,
        other => panic!("{other:?}"),
    }
}

fn safe() -> TopicFacts {
    let settings = [
        ("min.insync.replicas", "2"),
        ("unclean.leader.election.enable", "false"),
        ("cleanup.policy", "delete"),
        ("max.message.bytes", "8388608"),
    ];
    TopicFacts {
        name: "t".to_owned(),
        partitions: 6,
        replication: 3,
        settings: settings.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
    }
}

fn with(setting: &str, value: &str) -> TopicFacts {
    let mut facts = safe();
    for (name, found) in &mut facts.settings {
        if name == setting {
            *found = value.to_owned();
        }
    }
    facts
}

#[test]
fn a_topic_that_keeps_what_it_acknowledges_passes() {
    check(&safe()).unwrap();
    let mut single = with("min.insync.replicas", "1");
    single.replication = 1;
    check(&single).unwrap();
}

#[test]
fn a_topic_that_may_lose_events_is_refused_with_the_command_that_mends_it() {
    for (facts, fix) in [
        (with("min.insync.replicas", "1"), "--entity-name t --add-config min.insync.replicas=2"),
        (with("min.insync.replicas", "4"), "--add-config min.insync.replicas=3"),
        (with("unclean.leader.election.enable", "true"), "unclean.leader.election.enable=false"),
        (with("cleanup.policy", "compact"), "--add-config cleanup.policy=delete"),
        (with("cleanup.policy", "compact,delete"), "--add-config cleanup.policy=delete"),
        (with("max.message.bytes", "1048588"), "--add-config max.message.bytes=4259840"),
    ] {
        let message = check(&facts).unwrap_err().to_string();
        assert!(message.contains(fix), "{message}");
    }
}

#[test]
fn the_control_topic_has_one_order_and_forgets_nothing_that_counts() {
    let control = |partitions, retention: &str| {
        let mut facts = TopicFacts { partitions, ..safe() };
        facts.settings.push(("retention.ms".to_owned(), retention.to_owned()));
        check_control(&facts).map_err(|error| error.to_string())
    };
    for retention in ["-1", "172800000", "604800000"] {
        assert_eq!(control(1, retention), Ok(()));
    }
    assert!(control(6, "-1").unwrap_err().contains("create it with one partition"));
    for retention in ["86400000", "0", "-2", ""] {
        let message = control(1, retention).unwrap_err();
        assert!(message.contains("--add-config retention.ms=-1"), "{message}");
    }
    assert!(check_control(&TopicFacts { partitions: 1, ..safe() }).is_err(), "it is not told");
}

#[test]
fn the_audit_topic_takes_no_producers_word_for_the_day() {
    let stamped = |by: &str| {
        let mut facts = safe();
        facts.settings.push(("message.timestamp.type".to_owned(), by.to_owned()));
        check_audit(&facts).map_err(|error| error.to_string())
    };
    assert_eq!(stamped("LogAppendTime"), Ok(()));
    let message = stamped("CreateTime").unwrap_err();
    let fix = "--entity-name t --add-config message.timestamp.type=LogAppendTime";
    assert!(message.contains(fix), "{message}");
    assert!(check_audit(&safe()).is_err(), "it is not told");
}

#[test]
fn a_topic_whose_settings_are_not_told_is_refused() {
    let mut facts = safe();
    facts.settings.retain(|(name, _)| name != "unclean.leader.election.enable");
    let message = check(&facts).unwrap_err().to_string();
    assert!(message.contains("DescribeConfigs"), "{message}");
}

#[test]
fn only_what_no_broker_ever_takes_counts_as_refused() {
    use RDKafkaErrorCode as Code;
    assert!(producer::is_certain(Code::MessageSizeTooLarge));
    for code in [
        Code::MessageTimedOut,
        Code::RequestTimedOut,
        Code::NotEnoughReplicas,
        Code::NotEnoughReplicasAfterAppend,
        Code::TopicAuthorizationFailed,
        Code::UnknownTopicOrPartition,
        Code::Fatal,
        Code::PurgeInflight,
        Code::OutOfOrderSequenceNumber,
    ] {
        assert!(!producer::is_certain(code), "{code}");
    }
}

#[test]
fn secrets_come_from_files_and_variables_and_are_not_shown() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "s3cret-of-the-test\n").unwrap();
    let url = |path: &std::path::Path| {
        format!(
            "kafka://h:1?security.protocol=sasl_plaintext&sasl.mechanism=PLAIN&sasl.username=u\
             &sasl.password_file={}",
            path.display()
        )
    };
    let with_file = options(&url(&file));
    let config = client::base(&with_file).unwrap();
    assert_eq!(config.get("sasl.password"), Some("s3cret-of-the-test"));
    let producer = producer::Producer::new(client::producer(&config, &with_file)).unwrap();
    assert!(!format!("{producer:?} {with_file:?}").contains("s3cret"));

    let absent = client::base(&options(&url(&dir.path().join("absent")))).unwrap_err().to_string();
    assert!(absent.contains("sasl.password") && absent.contains("absent"), "{absent}");
}

#[tokio::test]
async fn a_producer_that_kafka_declares_dead_is_replaced() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let options = options(&format!("kafka://{}", cluster.bootstrap_servers()));
    let config = client::producer(&client::base(&options).unwrap(), &options);
    let producer = producer::Producer::new(config).unwrap();
    let record = Record { topic: Topic::Audit, key: "k".into(), value: "v".into() };
    let batch = || [("t", 0, &record)].into_iter();
    producer.append(batch()).await.unwrap();

    // What a broker answers that has lost track of this producer: fatal for an idempotent one.
    let lost_track = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER; 1];
    cluster.request_errors(RDKafkaApiKey::Produce, &lost_track);
    let first = producer.current();
    let failed = producer.append(batch()).await;
    assert!(matches!(failed, Err(AppendError::Unknown { .. })), "{failed:?}");
    assert!(first.client().fatal_error().is_some(), "it is not dead: this shows nothing");
    cluster.clear_request_errors(RDKafkaApiKey::Produce);
    producer.append(batch()).await.unwrap();
}

#[tokio::test]
async fn brokers_that_do_not_answer_leave_the_outcome_unknown_within_the_time() {
    let cluster = MockCluster::new(1).unwrap();
    cluster.create_topic("t", 1, 1).unwrap();
    let url = format!("kafka://{}?message_timeout_ms=2000", cluster.bootstrap_servers());
    let options = options(&url);
    let config = client::producer(&client::base(&options).unwrap(), &options);
    let producer = producer::Producer::new(config).unwrap();
    let record = Record { topic: Topic::Audit, key: "k".into(), value: "v".into() };
    producer.append([("t", 0, &record)].into_iter()).await.unwrap();
    cluster.broker_down(1).unwrap();
    let started = std::time::Instant::now();
    let failed = producer.append([("t", 0, &record)].into_iter()).await;
    assert!(matches!(failed, Err(AppendError::Unknown { .. })), "{failed:?}");
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    cluster.broker_up(1).unwrap();
    let back = std::time::Instant::now();
    while producer.append([("t", 0, &record)].into_iter()).await.is_err() {
        assert!(back.elapsed().as_secs() < 30, "the producer does not recover");
    }
}

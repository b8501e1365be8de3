use super::*;

fn kafka(text: &str) -> KafkaOptions {
    match LogUrl::parse(text).unwrap() {
        LogUrl::Kafka(options) => options,
        other => panic!("{other:?}"),
    }
}

#[test]
fn embedded_takes_a_directory_and_a_bound() {
    let parsed = |text| match LogUrl::parse(text).unwrap() {
        LogUrl::Embedded(options) => (options.dir.display().to_string(), options.max_bytes),
        other => panic!("{other:?}"),
    };
    assert_eq!(
        parsed("embedded:data/log"),
        ("data/log".into(), EmbeddedOptions::DEFAULT_MAX_BYTES)
    );
    assert_eq!(parsed("file:///var/lib/t?max_bytes=64MiB"), ("/var/lib/t".into(), 64 << 20));
    assert_eq!(parsed("embedded:/x?max_bytes=67108864"), ("/x".into(), 64 << 20));
}

#[test]
fn what_does_not_fit_is_refused_with_what_to_write() {
    for (text, part) in [
        ("", "embedded:DIR"),
        ("sqlite:x", "embedded:DIR"),
        ("embedded:", "embedded:DIR"),
        ("embedded:x?max_bytes=1MiB", "at least 64MiB"),
        ("embedded:x?max_bytes=99999999999TiB", "at least 64MiB"),
        ("embedded:x?max_bytes=16GB", "16GiB"),
        ("embedded:x?maxbytes=1", "known are max_bytes"),
        ("kafka://", "HOST:PORT"),
        ("kafka://h", "HOST:PORT"),
        ("kafka://h:0", "HOST:PORT"),
        ("kafka://user:pw@h:1", "HOST:PORT"),
        ("kafka://h:1?acks=1", "known are create"),
        ("kafka://h:1?create=yes", "true or false"),
        ("kafka://h:1?partitions=0", "from 1"),
        ("kafka://h:1?sasl.password=hunter2", "sasl.password_file"),
        ("kafka://h:1?security.protocol=sasl_ssl", "sasl.mechanism"),
        ("kafka://h:1?sasl.password_env=P", "sasl_ssl"),
        ("kafka://h:1?ssl.ca=/ca.pem", "ssl or sasl_ssl"),
        ("kafka://h:1?security.protocol=ssl&ssl.key=/k", "ssl.key"),
        ("kafka://h:1?topic_prefix=a/b", "a-z"),
    ] {
        let message = LogUrl::parse(text).unwrap_err().to_string();
        assert!(message.contains(part), "{text}: {message}");
        assert!(!message.contains("hunter2") && !message.contains("pw"), "{text}: {message}");
    }
}

#[test]
fn kafka_takes_brokers_and_options() {
    let options =
        kafka("kafka://a:9092,b:9093?create=false&partitions=3&replication=3&topic_prefix=x.");
    assert_eq!(options.brokers, ["a:9092", "b:9093"]);
    assert!(!options.create);
    assert_eq!((options.partitions, options.replication), (3, Some(3)));
    assert_eq!(options.topic_prefix, "x.");
}

#[test]
fn kafka_takes_secrets_by_reference_only() {
    let options = kafka(
        "kafka://a:1?security.protocol=sasl_ssl&sasl.mechanism=SCRAM-SHA-512&sasl.username=t\
         &sasl.password_file=/run/secrets/p&ssl.ca=/ca.pem",
    );
    assert_eq!(options.sasl_password, Some(SecretSource::File("/run/secrets/p".into())));
    assert_eq!(options.ssl_ca, Some("/ca.pem".into()));
}

#[test]
fn credentials_beside_the_url_are_taken_where_there_are_users_and_none_in_it() {
    let held = |text: &str| Some(HeldSecret::new(text));
    let both = || Credentials { user: held("u"), password: held("first") };
    let url = "kafka://a:1?security.protocol=sasl_ssl&sasl.mechanism=SCRAM-SHA-512";
    let credentials = both();
    let password = credentials.password.clone().unwrap();
    let LogUrl::Kafka(options) = LogUrl::parse_with(url, credentials).unwrap() else {
        panic!("no Kafka")
    };
    let Some(SecretSource::Held(read)) = options.sasl_password else { panic!("not held") };
    assert!(password.set("second") && !password.set("second"));
    assert_eq!(read.expose().as_str(), "second");
    assert!(!format!("{read:?}").contains("second"));

    LogUrl::parse(url).unwrap_err();
    let twice = LogUrl::parse_with(&format!("{url}&sasl.password_file=/p"), both()).unwrap_err();
    assert!(twice.to_string().contains("keep one of them"), "{twice}");
    let none = LogUrl::parse_with("embedded:log", both()).unwrap_err();
    assert!(none.to_string().contains("only a log on Kafka has users"), "{none}");
}

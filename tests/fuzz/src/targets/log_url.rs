//! Where the log is, as one line of configuration.

use tallyport_eventlog::{EmbeddedOptions, LogUrl};

/// Schemes, options and separators.
pub const WORDS: &[&[u8]] = &[
    b"embedded:",
    b"file:",
    b"kafka://",
    b"memory:",
    b"?max_bytes=",
    b"64MiB",
    b"TiB",
    b"&sasl.password=",
    b"hunter2",
    b"&security.protocol=sasl_ssl",
    b"&sasl.mechanism=PLAIN",
    b"&sasl.username=",
    b"&sasl.password_file=",
    b":9092",
    b",",
    b"%00",
    b"+",
    b"@",
    b"//",
    b"&create=false",
    b"&partitions=",
];

/// URLs of every kind.
#[must_use]
pub fn seeds() -> Vec<Vec<u8>> {
    [
        "embedded:data/log",
        "file:///var/lib/t?max_bytes=64MiB",
        "kafka://a:9092,b:9093?create=false&partitions=3&replication=3&topic_prefix=x.",
        "kafka://a:1?security.protocol=sasl_ssl&sasl.mechanism=PLAIN&sasl.username=t&sasl.password_file=/p&ssl.ca=/ca.pem",
        "kafka://h:1?sasl.password=hunter2",
        "kafka://user:pw@h:1",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec()
}

/// Bounds hold, places are whole, and a password is never repeated.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    match LogUrl::parse(text) {
        Ok(LogUrl::Embedded(options)) => {
            assert!(options.max_bytes >= EmbeddedOptions::MIN_MAX_BYTES);
            assert!(!options.dir.as_os_str().is_empty());
        }
        Ok(LogUrl::Kafka(options)) => {
            assert!(!options.brokers.is_empty());
            for broker in &options.brokers {
                let (host, port) = broker.rsplit_once(':').expect("HOST:PORT");
                assert!(!host.is_empty() && !host.contains('@'));
                assert!(port.parse::<u16>().is_ok_and(|port| port > 0));
            }
            assert!((1..=10_000).contains(&options.partitions));
            assert!((100..=60_000).contains(&options.message_timeout_ms));
            assert!(options.topic_prefix.len() <= 128);
            let sasl = options.security_protocol.starts_with("sasl");
            assert_eq!(sasl, options.sasl_password.is_some(), "a password without its protocol");
        }
        #[allow(unreachable_patterns, reason = "the log in memory is behind a feature of tests")]
        Ok(_) => assert!(text.starts_with("memory:")),
        Err(error) => {
            let secret = "hunter2";
            let as_value = text.contains(&format!("sasl.password={secret}"));
            let said = error.to_string();
            assert!(
                !as_value || text.matches(secret).count() > 1 || !said.contains(secret),
                "{said}"
            );
        }
    }
}

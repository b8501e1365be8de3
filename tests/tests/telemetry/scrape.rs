//! What the telemetry address answers.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::Value;

/// Status, header and body of a request; every answer closes its connection.
pub fn ask(address: &str, method: &str, path: &str) -> (u16, String, String) {
    let mut stream = TcpStream::connect(address).expect("telemetry listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: telemetry\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("it answers and closes");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an HTTP answer");
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    (status, head.to_lowercase(), body.to_owned())
}

/// `/readyz`: whether it says ready, and its body.
pub fn readyz(address: &str) -> (bool, Value) {
    let (status, _, body) = ask(address, "GET", "/readyz");
    let body: Value = serde_json::from_str(&body).expect("JSON");
    assert_eq!(body["ready"], Value::Bool(status == 200), "status and body agree: {status} {body}");
    (status == 200, body)
}

/// One scrape of `/metrics`.
#[derive(Debug)]
pub struct Scrape {
    /// As it was served.
    pub text: String,
    /// Types by name.
    pub types: BTreeMap<String, String>,
    series: Vec<(String, BTreeMap<String, String>, f64)>,
}

impl Scrape {
    pub fn of(address: &str) -> Self {
        let (status, head, text) = ask(address, "GET", "/metrics");
        assert_eq!(status, 200, "{head}");
        assert!(head.contains("content-type: text/plain; version=0.0.4"), "{head}");
        let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        let types = types.filter_map(|line| line.split_once(' '));
        let types = types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect();
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
        let series = lines.map(series).collect();
        Self { types, series, text }
    }

    /// The sum of all series of this name that have these labels.
    pub fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let has = |own: &BTreeMap<String, String>| {
            labels.iter().all(|(key, value)| own.get(*key).is_some_and(|own| own == value))
        };
        let matching =
            self.series.iter().filter(|(own, has_labels, _)| own == name && has(has_labels));
        matching.map(|(.., value)| value).sum()
    }

    /// Names and values of all labels, without those of buckets.
    pub fn labels(&self) -> impl Iterator<Item = (&str, &BTreeMap<String, String>)> {
        self.series.iter().map(|(name, labels, _)| (name.as_str(), labels))
    }
}

/// `name{key="value",...} number`; no value here holds a comma or a quote.
fn series(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let (place, value) = line.rsplit_once(' ').expect("a value");
    let (name, labels) = place.split_once('{').unwrap_or((place, ""));
    let labels = labels.trim_end_matches('}').split(',').filter(|pair| !pair.is_empty());
    let labels = labels.map(|pair| pair.split_once('=').expect("a label"));
    let labels = labels.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()));
    (name.to_owned(), labels.collect(), value.parse().expect("a number"))
}

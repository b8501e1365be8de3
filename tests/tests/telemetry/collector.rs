//! A small collector: takes OTLP over HTTP as its specification has it, and keeps what came.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use parking_lot::Mutex;
use prost::Message as _;

/// Listens until the test process ends.
pub struct Collector {
    endpoint: String,
    got: Arc<Mutex<Got>>,
}

/// What came.
#[derive(Clone, Debug, Default)]
pub struct Got {
    /// All spans.
    pub spans: Vec<Span>,
    /// Names of all metrics.
    pub metrics: BTreeSet<String>,
    /// What was shown in `x-api-key`.
    pub keys: BTreeSet<String>,
    /// Everything, as it came.
    pub bytes: Vec<u8>,
}

impl Collector {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        let got: Arc<Mutex<Got>> = Arc::default();
        let kept = Arc::clone(&got);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let kept = Arc::clone(&kept);
                std::thread::spawn(move || while take(&stream, &kept).is_some() {});
            }
        });
        Self { endpoint, got }
    }

    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    pub fn got(&self) -> Got {
        self.got.lock().clone()
    }
}

/// One request of a connection.
fn take(stream: &TcpStream, got: &Mutex<Got>) -> Option<()> {
    let mut reader = BufReader::new(stream);
    let mut request = String::new();
    reader.read_line(&mut request).ok().filter(|read| *read > 0)?;
    let (mut length, mut protobuf) = (0, false);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let line = line.trim().to_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
        if let Some(key) = line.strip_prefix("x-api-key:") {
            got.lock().keys.insert(key.trim().to_owned());
        }
        protobuf |= line == "content-type: application/x-protobuf";
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    assert!(protobuf, "OTLP in protobuf: {request}");
    keep(request.split(' ').nth(1)?, &body, &mut got.lock());
    let answer =
        b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
    let mut stream = stream;
    stream.write_all(answer).ok()
}

fn keep(path: &str, body: &[u8], got: &mut Got) {
    got.bytes.extend_from_slice(body);
    match path {
        "/v1/traces" => {
            let request = ExportTraceServiceRequest::decode(body).expect("traces");
            let scopes = request.resource_spans.into_iter().flat_map(|one| one.scope_spans);
            got.spans.extend(scopes.flat_map(|scope| scope.spans));
        }
        "/v1/metrics" => {
            let request = ExportMetricsServiceRequest::decode(body).expect("metrics");
            let scopes = request.resource_metrics.into_iter().flat_map(|one| one.scope_metrics);
            got.metrics.extend(scopes.flat_map(|scope| scope.metrics).map(|metric| metric.name));
        }
        other => panic!("no signal goes to {other}"),
    }
}

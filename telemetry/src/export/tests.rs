use opentelemetry::trace::{SpanId, TraceId};
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SpanData, SpanExporter};
use parking_lot::Mutex;
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CALLER: &str = "00f067aa0ba902b7";

#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    fn export(&self, batch: Vec<SpanData>) -> impl Future<Output = OTelSdkResult> + Send {
        self.0.lock().extend(batch);
        std::future::ready(Ok(()))
    }
}

/// What is exported of `work`, sampled at `ratio`.
fn exported(ratio: f64, work: impl FnOnce()) -> Vec<SpanData> {
    let kept = Kept::default();
    let traces = SdkTracerProvider::builder()
        .with_id_generator(Ids::default())
        .with_sampler(sampler(ratio))
        .with_simple_exporter(kept.clone())
        .build();
    let subscriber = tracing_subscriber::registry().with(layer_of(&traces));
    tracing::subscriber::with_default(subscriber, work);
    kept.0.lock().clone()
}

/// A session as the gateway makes it; gives whether its statements would be traced.
fn session(parent: Option<(&str, bool)>) -> bool {
    let session = tracing::info_span!(
        target: "tallyport_gateway::front",
        "session",
        trace_id = %TRACE,
        parent_span_id = parent.map(|(id, _)| id),
        parent_sampled = parent.map(|(_, sampled)| sampled),
    );
    let _inside = session.entered();
    let statement = tracing::debug_span!(target: "tallyport_gateway::session", "statement");
    tracing::debug_span!(target: "tallyport_gateway::session", parent: &statement, "judge")
        .in_scope(|| {
            tracing::error!(target: "tallyport_gateway", "what is logged is not exported");
            tracing::info_span!(target: "hyper", "of a library").in_scope(|| {});
        });
    !statement.is_disabled()
}

fn named<'a>(spans: &'a [SpanData], name: &str) -> &'a SpanData {
    spans.iter().find(|span| span.name == name).unwrap()
}

#[test]
fn a_session_begins_the_trace_of_its_events() {
    let spans = exported(1.0, || assert!(session(None)));
    assert_eq!(spans.len(), 3, "{spans:?}");
    let [session, statement, judge] =
        ["session", "statement", "judge"].map(|name| named(&spans, name));
    assert_eq!(session.span_context.trace_id(), TraceId::from_hex(TRACE).unwrap());
    assert_eq!(session.parent_span_id, SpanId::INVALID);
    assert_eq!(statement.parent_span_id, session.span_context.span_id());
    assert_eq!(judge.parent_span_id, statement.span_context.span_id());
    assert_eq!(judge.span_context.trace_id(), session.span_context.trace_id());
    assert!(spans.iter().all(|span| span.events.is_empty()), "{spans:?}");
}

#[test]
fn a_given_trace_is_that_of_one_session_only() {
    let spans = exported(1.0, || {
        session(None);
        tracing::debug_span!(target: "tallyport_recorder", "recorder_commit").in_scope(|| {});
    });
    let (session, other) = (named(&spans, "session"), named(&spans, "recorder_commit"));
    assert_ne!(session.span_context.trace_id(), other.span_context.trace_id());
}

#[test]
fn what_is_not_sampled_makes_no_spans_unless_the_caller_is_traced() {
    assert!(exported(0.0, || assert!(!session(None))).is_empty());
    assert!(exported(1.0, || assert!(!session(Some((CALLER, false))))).is_empty());
    let spans = exported(0.0, || assert!(session(Some((CALLER, true)))));
    let session = named(&spans, "session");
    assert_eq!(session.parent_span_id, SpanId::from_hex(CALLER).unwrap());
    assert_eq!(session.span_context.trace_id(), TraceId::from_hex(TRACE).unwrap());
}

#[test]
fn signals_go_below_the_endpoint() {
    for endpoint in ["http://c:4318", "http://c:4318/"] {
        assert_eq!(signal(&endpoint.parse().unwrap(), "v1/traces"), "http://c:4318/v1/traces");
    }
    assert_eq!(signal(&"https://c/otlp".parse().unwrap(), "v1/x"), "https://c/otlp/v1/x");
}

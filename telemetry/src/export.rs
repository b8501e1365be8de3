//! The way to an OpenTelemetry collector: OTLP over HTTP, in protobuf, as its specification has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use http::{Request, Response, StatusCode};
use opentelemetry::trace::{TraceContextExt as _, TracerProvider as _};
use opentelemetry::{Context, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{
    MetricExporter, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, layer};
use url::Url;

use crate::adopt::{Adopting, Ids};
use crate::service::{CollectorHeaders, Settings, TelemetryError};

/// The longest one export takes.
const EXPORT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest the last exports take together.
const SHUTDOWN: Duration = Duration::from_secs(5);
/// More of a collector's answer is not read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;
/// Spans that begin a trace. All others are made only inside of one that is collected.
const ROOTS: [&str; 5] = ["connection", "session", "mcp_call", "query", "recorder_commit"];
/// Whose spans are exported: they carry neither statements nor values nor names of principals.
const OURS: [&str; 2] = ["tallyport", "gateway_core"];

/// Exports spans and metrics.
#[derive(Debug)]
pub(crate) struct Exporter {
    traces: SdkTracerProvider,
    pub(crate) metrics: SdkMeterProvider,
}

impl Exporter {
    /// Must be called within a tokio runtime, which must outlive it.
    pub(crate) fn start(endpoint: &Url, settings: &Settings) -> Result<Self, TelemetryError> {
        let client = Client::new(settings.otlp_headers.clone())?;
        let failed = |error: &dyn std::fmt::Display| TelemetryError::Export(error.to_string());
        let spans = SpanExporter::builder()
            .with_http()
            .with_http_client(client.clone())
            .with_endpoint(signal(endpoint, "v1/traces"))
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|error| failed(&error))?;
        let metrics = MetricExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_endpoint(signal(endpoint, "v1/metrics"))
            .with_timeout(EXPORT_TIMEOUT)
            .build()
            .map_err(|error| failed(&error))?;
        let resource = resource(settings);
        let traces = SdkTracerProvider::builder()
            .with_resource(resource.clone())
            .with_id_generator(Ids::default())
            .with_sampler(sampler(settings.sample_ratio))
            .with_batch_exporter(spans)
            .build();
        let metrics = SdkMeterProvider::builder()
            .with_resource(resource)
            .with_periodic_exporter(metrics)
            .build();
        Ok(Self { traces, metrics })
    }

    /// Exports the spans of this project.
    pub(crate) fn layer<S>(&self) -> impl Layer<S> + use<S>
    where
        S: Subscriber + for<'a> LookupSpan<'a>,
    {
        layer_of(&self.traces)
    }

    /// Sends what is left, within bounds.
    pub(crate) async fn stop(self) {
        let last = tokio::task::spawn_blocking(move || {
            // A collector that is gone was reported when it went.
            let _traces = self.traces.shutdown_with_timeout(SHUTDOWN);
            let _metrics = self.metrics.shutdown_with_timeout(SHUTDOWN);
        });
        let _ended = tokio::time::timeout(SHUTDOWN * 2, last).await;
    }
}

/// Takes the spans of this project, and nothing that is logged inside of them.
fn layer_of<S>(traces: &SdkTracerProvider) -> impl Layer<S> + use<S>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    let spans = tracing_opentelemetry::layer()
        .with_tracer(traces.tracer("tallyport"))
        .with_location(false)
        .with_threads(false)
        .with_target(false)
        .with_level(false)
        .with_tracked_inactivity(false);
    let ours = filter_fn(is_ours).with_max_level_hint(LevelFilter::DEBUG);
    Adopting(spans).with_filter(ours).and_then(OnlyCollected)
}

/// Turns off what is inside of a span that is not collected, for every layer: a filter of one layer would only hide it
/// from that layer, and it would be made all the same.
struct OnlyCollected;

impl<S: Subscriber> Layer<S> for OnlyCollected {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_detail(metadata) { Interest::sometimes() } else { Interest::always() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _ctx: layer::Context<'_, S>) -> bool {
        !is_detail(metadata) || is_collected()
    }
}

/// Whoever traces a call of an agent and says so sees it whole; of the others a part is seen.
fn sampler(ratio: f64) -> Sampler {
    Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)))
}

fn is_ours(metadata: &Metadata<'_>) -> bool {
    metadata.is_span() && OURS.iter().any(|name| metadata.target().starts_with(name))
}

/// Whether it is a span that means something only as a part of a trace.
fn is_detail(metadata: &Metadata<'_>) -> bool {
    is_ours(metadata) && *metadata.level() > Level::INFO && !ROOTS.contains(&metadata.name())
}

/// Whether the span that the caller is in is being collected.
fn is_collected() -> bool {
    Context::map_current(|context| context.span().span_context().is_sampled())
}

/// Where one signal goes, below the endpoint (OTLP exporter specification, "Endpoint URLs for OTLP/HTTP").
fn signal(endpoint: &Url, path: &str) -> String {
    format!("{}/{path}", endpoint.as_str().trim_end_matches('/'))
}

fn resource(settings: &Settings) -> Resource {
    let own = [
        KeyValue::new("service.instance.id", settings.instance.clone()),
        KeyValue::new("service.version", settings.build.version.clone()),
    ];
    let builder = Resource::builder().with_attributes(own);
    // The SDK takes the name from there.
    if std::env::var_os("OTEL_SERVICE_NAME").is_some() {
        builder.build()
    } else {
        builder.with_service_name("tallyport").build()
    }
}

/// Sends on the runtime of the services: the SDK exports from threads of its own, where no client could.
#[derive(Clone, Debug)]
struct Client {
    http: reqwest::Client,
    headers: Option<Arc<dyn CollectorHeaders>>,
    runtime: tokio::runtime::Handle,
    failing: Arc<AtomicBool>,
}

impl Client {
    fn new(headers: Option<Arc<dyn CollectorHeaders>>) -> Result<Self, TelemetryError> {
        let http = reqwest::Client::builder()
            .timeout(EXPORT_TIMEOUT)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .map_err(|error| TelemetryError::Export(error.to_string()))?;
        let runtime = tokio::runtime::Handle::current();
        Ok(Self { http, headers, runtime, failing: Arc::default() })
    }

    /// Says once that it fails, and once that it does not any more.
    fn note(&self, failure: Option<&str>) {
        match (self.failing.swap(failure.is_some(), Ordering::Relaxed), failure) {
            (false, Some(reason)) => tracing::warn!(
                reason,
                "the collector takes no telemetry; check telemetry.otlp_endpoint and the collector"
            ),
            (true, None) => tracing::info!("the collector takes telemetry again"),
            (true, Some(_)) | (false, None) => {}
        }
    }
}

/// No export. For the log; it repeats no credential.
#[derive(Debug, thiserror::Error)]
enum NotSent {
    #[error("telemetry.otlp_headers: {0}")]
    Headers(String),
    #[error(transparent)]
    Http(reqwest::Error),
}

impl From<reqwest::Error> for NotSent {
    fn from(error: reqwest::Error) -> Self {
        // The address may hold a credential.
        Self::Http(error.without_url())
    }
}

impl Client {
    async fn send(self, mut request: Request<Bytes>) -> Result<(StatusCode, Bytes), NotSent> {
        if let Some(headers) = &self.headers {
            let shown = headers.current().await.map_err(NotSent::Headers)?;
            for (name, value) in &shown {
                request.headers_mut().insert(name, value.clone());
            }
        }
        let mut answer = self.http.execute(request.try_into()?).await?;
        let mut body = BytesMut::new();
        while let Some(chunk) = answer.chunk().await? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                break;
            }
            body.extend_from_slice(&chunk);
        }
        Ok((answer.status(), body.freeze()))
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        match self.runtime.spawn(self.clone().send(request)).await? {
            Ok((status, body)) => {
                let refused = format!("it answered {status}");
                self.note((!status.is_success()).then_some(refused.as_str()));
                Ok(Response::builder().status(status).body(body)?)
            }
            Err(error) => {
                self.note(Some(&error.to_string()));
                Err(error.into())
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Where metrics go: into a Prometheus registry that is rendered on request and, where a collector is configured, to it.

use std::time::Duration;

use metrics::{KeyName, Unit};
use metrics_exporter_otel::OpenTelemetryRecorder;
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use metrics_util::layers::FanoutBuilder;
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use tokio_util::sync::CancellationToken;

use crate::catalog::{Kind, METRICS};
use crate::service::{Build, TelemetryError};

/// Upper bounds of the buckets of every distribution, in seconds: a commit to a local disk is in the first ones, a
/// commit to an object store in the last ones, a question that is as slow as one may be in the very last.
const SECONDS: [f64; 20] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0,
];
/// How often what distributions have gathered is counted into their buckets: without that it would pile up until
/// somebody asks.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// Renders what was counted.
#[derive(Clone)]
pub(crate) struct Meters {
    prometheus: PrometheusHandle,
    process: metrics_process::Collector,
}

impl Meters {
    /// Takes all metrics of this process from now on. Handles that were taken before count nothing.
    pub(crate) fn install(
        exporter: Option<&SdkMeterProvider>,
        build: &Build,
    ) -> Result<Self, TelemetryError> {
        let builder = PrometheusBuilder::new().set_buckets(&SECONDS);
        let prometheus = builder.map_err(|_| TelemetryError::Installed)?.build_recorder();
        let handle = prometheus.handle();
        let installed = match exporter {
            None => metrics::set_global_recorder(prometheus).is_ok(),
            Some(provider) => {
                let exported = OpenTelemetryRecorder::new(provider.meter("tallyport"));
                for metric in METRICS.iter().filter(|metric| metric.kind == Kind::Histogram) {
                    let name = KeyName::from_const_str(metric.name);
                    exported.set_histogram_bounds(&name, SECONDS.to_vec());
                }
                let both = FanoutBuilder::default().add_recorder(prometheus).add_recorder(exported);
                metrics::set_global_recorder(both.build()).is_ok()
            }
        };
        if !installed {
            return Err(TelemetryError::Installed);
        }
        describe();
        let labels = [
            ("version", build.version.clone()),
            ("commit", build.commit.clone()),
            ("schema", build.schema.clone()),
        ];
        metrics::gauge!("tallyport_build_info", &labels).set(1.0);
        let process = metrics_process::Collector::default();
        process.describe();
        Ok(Self { prometheus: handle, process })
    }

    /// The text that Prometheus reads.
    pub(crate) fn render(&self) -> String {
        self.process.collect();
        self.prometheus.render()
    }

    /// Keeps memory bounded and the process's own figures fresh, until `stop`.
    pub(crate) async fn keep_up(self, stop: CancellationToken) {
        let upkeep = async {
            loop {
                tokio::time::sleep(UPKEEP_EVERY).await;
                self.process.collect();
                self.prometheus.run_upkeep();
            }
        };
        stop.run_until_cancelled(upkeep).await;
    }
}

fn describe() {
    for metric in METRICS {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.help),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.help),
            Kind::Histogram => {
                metrics::describe_histogram!(metric.name, Unit::Seconds, metric.help);
            }
        }
    }
}

impl std::fmt::Debug for Meters {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Meters").finish_non_exhaustive()
    }
}

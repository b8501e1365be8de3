//! Starts and stops all of it.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::HeaderMap;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::export::Exporter;
use crate::listener::{Listener, Sources};
use crate::logs::Logs;
use crate::meters::Meters;
use crate::readiness::Readiness;

/// Which build runs.
#[derive(Clone, Debug)]
pub struct Build {
    /// The version of the release.
    pub version: String,
    /// The commit it was built from, as far as it is known.
    pub commit: String,
    /// The version of the events that it writes.
    pub schema: String,
}

/// What to tell, and where.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where metrics, health and readiness are answered, over plain HTTP; nowhere when absent.
    pub listen: Option<SocketAddr>,
    /// A collector that takes OTLP over HTTP; none when absent.
    pub otlp_endpoint: Option<Url>,
    /// What the collector is shown with each export; nothing when absent.
    pub otlp_headers: Option<Arc<dyn CollectorHeaders>>,
    /// The part of the traces that is exported, from 0 to 1.
    pub sample_ratio: f64,
    /// Names this process among all that export.
    pub instance: String,
    /// Which build runs.
    pub build: Build,
}

/// Header fields for a collector: those that let this process in.
#[async_trait]
pub trait CollectorHeaders: std::fmt::Debug + Send + Sync {
    /// As they are now.
    ///
    /// # Errors
    /// Why one cannot be had, in words that repeat nothing of it.
    async fn current(&self) -> Result<HeaderMap, String>;
}

/// Telemetry could not start.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The address cannot be used.
    #[error(
        "telemetry.listen: cannot listen on {address}: {source}; choose another address or stop what holds it"
    )]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The exporter cannot be made.
    #[error("telemetry.otlp_endpoint: {0}")]
    Export(String),
    /// Something else takes this process's metrics.
    #[error("telemetry was started twice in one process")]
    Installed,
}

/// Telemetry of this process, running.
#[derive(Debug)]
pub struct Telemetry {
    address: Option<SocketAddr>,
    readiness: Readiness,
    exporter: Option<Exporter>,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Telemetry {
    /// Starts logging, takes metrics and spans from now on, and answers on the configured address. To be called before
    /// the services start: what they took handles for earlier is counted nowhere.
    ///
    /// # Errors
    /// See [`TelemetryError`]. What is logged after it is logged in any case.
    ///
    /// # Cancel safety
    /// Not cancel safe: a dropped call may leave the process without its metrics.
    pub async fn start(settings: &Settings, logs: &Logs) -> Result<Self, TelemetryError> {
        let exporter = settings.otlp_endpoint.as_ref();
        let exporter = exporter.map(|endpoint| Exporter::start(endpoint, settings)).transpose();
        match &exporter {
            Ok(Some(exporter)) => logs.start_with(exporter),
            Ok(None) | Err(_) => logs.start(),
        }
        let exporter = exporter?;
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let readiness = Readiness::default();
        let mut address = None;
        if settings.listen.is_some() || exporter.is_some() {
            let exported = exporter.as_ref().map(|exporter| &exporter.metrics);
            let meters = Meters::install(exported, &settings.build)?;
            if let Some(listen) = settings.listen {
                let listener = Listener::bind(listen).await?;
                address = Some(listener.address);
                tracing::info!(address = %listener.address, "telemetry is served");
                let sources = Sources { meters: meters.clone(), readiness: readiness.clone() };
                tasks.spawn(listener.run(sources, stop.clone()));
                tasks.spawn(readiness.clone().keep_looking(stop.clone()));
            }
            tasks.spawn(meters.keep_up(stop.clone()));
        }
        Ok(Self { address, readiness, exporter, tasks, stop })
    }

    /// Where it is served.
    #[must_use]
    pub const fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// What `/readyz` answers from.
    #[must_use]
    pub const fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Answers nothing more, and exports what is left, within bounds.
    ///
    /// # Cancel safety
    /// A dropped call goes on stopping; what is left may not be exported.
    pub async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
        if let Some(exporter) = self.exporter {
            exporter.stop().await;
        }
    }
}

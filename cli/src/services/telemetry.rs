//! Telemetry of a process of services: started before them, told what they are, stopped after them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tallyport_gateway::config::Credential;
use tallyport_schemas::SCHEMA_VERSION;
use tallyport_telemetry::{Build, CollectorHeaders, Logs, Settings, Telemetry};

use super::readiness::Watch;
use super::wiring::Services;
use crate::config::TelemetrySettings;
use crate::exit::Failure;

/// How often `dev` looks at its target.
const DEV_PROBE: Duration = Duration::from_secs(30);

/// Header fields by reference, read with each export.
#[derive(Debug)]
struct Shown(Vec<(HeaderName, Credential)>);

fn shown(headers: &[(HeaderName, Credential)]) -> Option<Arc<dyn CollectorHeaders>> {
    (!headers.is_empty()).then(|| Arc::new(Shown(headers.to_vec())) as Arc<dyn CollectorHeaders>)
}

#[async_trait]
impl CollectorHeaders for Shown {
    async fn current(&self) -> Result<HeaderMap, String> {
        let mut fields = HeaderMap::new();
        for (name, credential) in &self.0 {
            let secret = credential.current().await.map_err(|error| format!("{name}: {error}"))?;
            let value = HeaderValue::from_str(secret.expose());
            let mut value = value.map_err(|_| format!("{name}: it has bytes that no field may"))?;
            value.set_sensitive(true);
            fields.insert(name, value);
        }
        Ok(fields)
    }
}

/// Telemetry of one process.
pub struct Observed {
    telemetry: Telemetry,
    probe_every: Duration,
    watch: Option<Watch>,
}

impl Observed {
    /// Starts logging and the rest of what the configuration asks for.
    pub async fn start(
        settings: &TelemetrySettings,
        instance: &str,
        logs: &Logs,
    ) -> Result<Self, Failure> {
        let whole = Settings {
            listen: settings.listen,
            otlp_endpoint: settings.otlp_endpoint.clone(),
            otlp_headers: shown(&settings.otlp_headers),
            sample_ratio: settings.sample_ratio,
            instance: instance.to_owned(),
            build: Build {
                version: env!("CARGO_PKG_VERSION").to_owned(),
                commit: crate::built::COMMIT.to_owned(),
                schema: SCHEMA_VERSION.to_owned(),
            },
        };
        let telemetry = Telemetry::start(&whole, logs).await.map_err(Failure::failed)?;
        Ok(Self { telemetry, probe_every: settings.probe_every, watch: None })
    }

    /// For `dev`: on a free port of `loopback`, exporting where the environment says.
    pub async fn start_dev(loopback: SocketAddr, logs: &Logs) -> Result<Self, Failure> {
        let settings = TelemetrySettings {
            listen: Some(loopback),
            // What one developer does is all of interest, and little.
            sample_ratio: 1.0,
            probe_every: DEV_PROBE,
            ..TelemetrySettings::from_environment().map_err(Failure::usage)?
        };
        Self::start(&settings, "dev", logs).await
    }

    /// Where it is served, as a URL.
    pub fn url(&self) -> Option<String> {
        self.telemetry.address().map(|address| format!("http://{address}"))
    }

    /// The services run: readiness follows them. Nobody is probed where nobody can ask.
    pub fn serving(&mut self, services: &Services) {
        if self.telemetry.address().is_some() {
            self.watch = Some(Watch::start(services, self.telemetry.readiness(), self.probe_every));
        }
    }

    /// Lets the services end, because one failed or because they are told to, and readiness say which.
    pub async fn ending(
        &mut self,
        failure: Option<Failure>,
        end: impl Future<Output = Result<(), Failure>>,
    ) -> Result<(), Failure> {
        self.stopping(failure.is_some()).await;
        let ended = end.await;
        failure.map_or(ended, Err)
    }

    async fn stopping(&mut self, failed: bool) {
        self.telemetry.readiness().stopping(failed);
        if let Some(watch) = self.watch.take() {
            watch.stop().await;
        }
    }

    /// The services have stopped.
    pub async fn stop(mut self) {
        self.stopping(false).await;
        self.telemetry.stop().await;
    }
}

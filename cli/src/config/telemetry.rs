//! The section `[telemetry]`.

use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

/// Where OpenTelemetry's own tools look for the collector.
const ENDPOINT_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// `[telemetry]` as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawTelemetry {
    /// Where `/metrics`, `/healthz` and `/readyz` are answered, without TLS and without a token.
    pub listen: Option<SocketAddr>,
    /// A collector of OpenTelemetry that takes OTLP over HTTP.
    pub otlp_endpoint: Option<String>,
    /// The part of the traces that is exported, from 0 to 1.
    pub sample_ratio: f64,
    /// How often a target that no session uses, and the lake, are looked at.
    pub probe_seconds: u64,
}

impl Default for RawTelemetry {
    fn default() -> Self {
        Self { listen: None, otlp_endpoint: None, sample_ratio: 0.1, probe_seconds: 30 }
    }
}

/// `[telemetry]`, checked.
#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    /// Where it is served.
    pub listen: Option<SocketAddr>,
    /// Where traces and metrics are sent.
    pub otlp_endpoint: Option<Url>,
    /// The part of the traces that is sent.
    pub sample_ratio: f64,
    /// How often what nobody uses is looked at.
    pub probe_every: Duration,
}

impl TelemetrySettings {
    /// The defaults, with a collector where the environment names one.
    pub fn from_environment() -> Result<Self, String> {
        RawTelemetry::default().check()
    }
}

impl RawTelemetry {
    /// Checks it. A collector that it does not name is taken from the environment.
    pub fn check(self) -> Result<TelemetrySettings, String> {
        let (name, endpoint) = match self.otlp_endpoint {
            Some(endpoint) => ("telemetry.otlp_endpoint", Some(endpoint)),
            None => (ENDPOINT_VARIABLE, std::env::var(ENDPOINT_VARIABLE).ok()),
        };
        let endpoint = endpoint.filter(|endpoint| !endpoint.is_empty());
        let endpoint = endpoint.map(|endpoint| parse(name, &endpoint)).transpose()?;
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return Err("telemetry.sample_ratio: give a number from 0 to 1".to_owned());
        }
        if self.probe_seconds == 0 {
            return Err("telemetry.probe_seconds: give 1 or more".to_owned());
        }
        Ok(TelemetrySettings {
            listen: self.listen,
            otlp_endpoint: endpoint,
            sample_ratio: self.sample_ratio,
            probe_every: Duration::from_secs(self.probe_seconds),
        })
    }
}

/// The address may hold a credential: no error repeats it.
fn parse(name: &str, endpoint: &str) -> Result<Url, String> {
    Url::parse(endpoint)
        .ok()
        .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
        .ok_or_else(|| format!("{name}: give a URL such as http://collector:4318"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_by_name_and_without_its_value() {
        let raw = RawTelemetry::default;
        for (bad, name) in [
            (
                RawTelemetry { otlp_endpoint: Some("grpc://u:hunter2@c".to_owned()), ..raw() },
                "telemetry.otlp_endpoint",
            ),
            (RawTelemetry { sample_ratio: 1.5, ..raw() }, "telemetry.sample_ratio"),
            (RawTelemetry { sample_ratio: f64::NAN, ..raw() }, "telemetry.sample_ratio"),
            (RawTelemetry { probe_seconds: 0, ..raw() }, "telemetry.probe_seconds"),
        ] {
            let error = bad.check().unwrap_err();
            assert!(error.starts_with(name) && !error.contains("hunter2"), "{error}");
        }
        let good = RawTelemetry { otlp_endpoint: Some("http://c:4318".to_owned()), ..raw() };
        assert_eq!(good.check().unwrap().otlp_endpoint.unwrap().port(), Some(4318));
    }
}

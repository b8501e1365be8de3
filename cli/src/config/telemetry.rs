//! The section `[telemetry]`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use reqwest::header::{
    CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, TRANSFER_ENCODING,
};
use schemars::JsonSchema;
use serde::Deserialize;
use tallyport_gateway::config::Credential;
use url::Url;

/// Where OpenTelemetry's own tools look for the collector.
const ENDPOINT_VARIABLE: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";

/// Fields that say what an export is and where it goes.
const OF_THE_EXPORT: [HeaderName; 6] =
    [CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HOST, TRANSFER_ENCODING];

/// `[telemetry]` as written.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawTelemetry {
    /// Where `/metrics`, `/healthz` and `/readyz` are answered, without TLS and without a token.
    pub listen: Option<SocketAddr>,
    /// A collector of OpenTelemetry that takes OTLP over HTTP.
    pub otlp_endpoint: Option<String>,
    /// What it is shown, each by the name of a header field: `{ x-api-key = { file = "/run/secrets/collector" } }`.
    #[schemars(with = "BTreeMap<String, Credential>")]
    pub otlp_headers: BTreeMap<String, Credential>,
    /// The part of the traces that is exported, from 0 to 1.
    pub sample_ratio: f64,
    /// How often a target that no session uses, and the lake, are looked at.
    pub probe_seconds: u64,
}

impl Default for RawTelemetry {
    fn default() -> Self {
        Self {
            listen: None,
            otlp_endpoint: None,
            otlp_headers: BTreeMap::new(),
            sample_ratio: 0.1,
            probe_seconds: 30,
        }
    }
}

/// `[telemetry]`, checked.
#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    /// Where it is served.
    pub listen: Option<SocketAddr>,
    /// Where traces and metrics are sent.
    pub otlp_endpoint: Option<Url>,
    /// What the collector is shown.
    pub otlp_headers: Vec<(HeaderName, Credential)>,
    /// The part of the traces that is sent.
    pub sample_ratio: f64,
    /// How often what nobody uses is looked at.
    pub probe_every: Duration,
}

impl TelemetrySettings {
    /// The defaults, with a collector where the environment names one.
    pub fn from_environment() -> Result<Self, String> {
        RawTelemetry::default().check(Path::new(""))
    }
}

impl RawTelemetry {
    /// Checks it. A collector that it does not name is taken from the environment, a relative file from `folder`.
    pub fn check(self, folder: &Path) -> Result<TelemetrySettings, String> {
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
        if endpoint.is_none() && !self.otlp_headers.is_empty() {
            let problem = "they are shown to a collector; name it with telemetry.otlp_endpoint";
            return Err(format!("telemetry.otlp_headers: {problem}"));
        }
        let header = |(name, credential): (String, Credential)| {
            let known = HeaderName::try_from(&name).ok().filter(|it| !OF_THE_EXPORT.contains(it));
            let problem = "give the name of a header field that an export does not have by itself";
            let known = known.ok_or_else(|| format!("telemetry.otlp_headers.{name}: {problem}"))?;
            Ok((known, credential.relative_to(folder)))
        };
        let headers = self.otlp_headers.into_iter().map(header);
        Ok(TelemetrySettings {
            listen: self.listen,
            otlp_endpoint: endpoint,
            otlp_headers: headers.collect::<Result<_, String>>()?,
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
    use tallyport_gateway::config::Secret;

    use super::*;

    #[test]
    fn what_makes_no_sense_is_refused_by_name_and_without_its_value() {
        let raw = RawTelemetry::default;
        let shown = |name: &str| {
            let value = Credential::Value(Secret::new("hunter2".to_owned()));
            BTreeMap::from([(name.to_owned(), value)])
        };
        let collector = || Some("http://c:4318".to_owned());
        let with = |name: &str| RawTelemetry {
            otlp_endpoint: collector(),
            otlp_headers: shown(name),
            ..raw()
        };
        for (bad, name) in [
            (
                RawTelemetry { otlp_endpoint: Some("grpc://u:hunter2@c".to_owned()), ..raw() },
                "telemetry.otlp_endpoint",
            ),
            (RawTelemetry { otlp_headers: shown("api-key"), ..raw() }, "telemetry.otlp_headers:"),
            (with("content-type"), "telemetry.otlp_headers.content-type"),
            (with("api key"), "telemetry.otlp_headers.api key"),
            (RawTelemetry { sample_ratio: 1.5, ..raw() }, "telemetry.sample_ratio"),
            (RawTelemetry { sample_ratio: f64::NAN, ..raw() }, "telemetry.sample_ratio"),
            (RawTelemetry { probe_seconds: 0, ..raw() }, "telemetry.probe_seconds"),
        ] {
            let error = bad.check(Path::new("/")).unwrap_err();
            assert!(error.starts_with(name) && !error.contains("hunter2"), "{error}");
        }
        let good = with("API-Key").check(Path::new("/")).unwrap();
        assert_eq!(good.otlp_endpoint.unwrap().port(), Some(4318));
        assert_eq!(good.otlp_headers[0].0, "api-key");
    }
}

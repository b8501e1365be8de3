//! What a connector is told.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::error::ConnectError;
use super::token::TokenProvider;
use crate::tls::{CertificateFiles, Written};

/// Which gateway, as whom.
#[derive(Clone)]
pub struct ConnectConfig {
    /// `host:port` of the gateway; the port is the same for QUIC and TCP.
    pub gateway: String,
    /// The name that the gateway's certificate must bear; the host of `gateway` when it is not set.
    pub server_name: Option<String>,
    /// A PEM file with the CA to trust instead of the public ones.
    pub ca: Option<PathBuf>,
    /// A certificate to show where the gateway asks for one.
    pub certificate: Option<CertificateFiles>,
    /// Where tokens come from; asked for every tunnel.
    pub token: Arc<dyn TokenProvider>,
    /// Never use QUIC.
    pub tcp_only: bool,
    /// How long a QUIC handshake may take before TCP is used.
    pub quic_deadline: Duration,
    /// How long a TCP connection with its handshakes may take.
    pub tcp_deadline: Duration,
    /// How long opening one tunnel may take, approvals at the gateway included.
    pub open_deadline: Duration,
}

impl ConnectConfig {
    /// The gateway with everything else at its default.
    #[must_use]
    pub fn new(gateway: impl Into<String>, token: Arc<dyn TokenProvider>) -> Self {
        Self {
            gateway: gateway.into(),
            server_name: None,
            ca: None,
            certificate: None,
            token,
            tcp_only: false,
            quic_deadline: Duration::from_secs(3),
            tcp_deadline: Duration::from_secs(10),
            open_deadline: Duration::from_secs(130),
        }
    }

    /// Whether the gateway is written as an address.
    pub(super) fn check_address(&self) -> Result<(), ConnectError> {
        let wrong = |why| Err(ConnectError::Address { gateway: self.gateway.clone(), why });
        if self.gateway.contains('/') {
            return wrong("it is a URL, or has a path");
        }
        match self.gateway.rsplit_once(':') {
            None => wrong("it names no port"),
            Some(("", _)) => wrong("it names no host"),
            Some((host, _))
                if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) =>
            {
                wrong("an IPv6 address stands in brackets")
            }
            Some((_, port)) if port.parse::<u16>().is_err() => {
                wrong("its port is no number up to 65535")
            }
            Some(_) => Ok(()),
        }
    }

    /// What a connection that is made now would show.
    pub(super) fn shows(&self) -> Option<Written> {
        self.certificate.as_ref().map(CertificateFiles::written)
    }

    /// The name that the certificate must bear.
    pub(super) fn server_name(&self) -> String {
        self.server_name.clone().unwrap_or_else(|| {
            let host =
                self.gateway.rsplit_once(':').map_or(self.gateway.as_str(), |(host, _)| host);
            host.trim_start_matches('[').trim_end_matches(']').to_owned()
        })
    }
}

impl fmt::Debug for ConnectConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectConfig")
            .field("gateway", &self.gateway)
            .field("server_name", &self.server_name)
            .field("ca", &self.ca)
            .field("tcp_only", &self.tcp_only)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connect::NoToken;

    #[test]
    fn an_address_has_a_host_and_a_port_and_nothing_else() {
        for (gateway, why) in [
            ("gateway.example.com:8443", None),
            ("[::1]:8443", None),
            ("https://gateway.example.com:8443/mcp", Some("it is a URL")),
            ("gateway.example.com", Some("it names no port")),
            (":8443", Some("it names no host")),
            ("::1:8443", Some("in brackets")),
            ("gateway.example.com:https", Some("no number")),
        ] {
            let checked = ConnectConfig::new(gateway, Arc::new(NoToken)).check_address();
            match (checked, why) {
                (Ok(()), None) => {}
                (Err(error), Some(why)) => assert!(error.to_string().contains(why), "{error}"),
                (checked, why) => panic!("{gateway}: {checked:?}, {why:?}"),
            }
        }
    }
}

//! Host and Origin, before anything else: a page that has its own name resolve to the gateway, or that makes a browser ask
//! for it, gets no answer (MCP, "Security Warning" of the transport).

use axum::http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, HOST, ORIGIN, VARY,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode, request};
use gateway_core::mcp::RpcError;

use super::form::{Refused, refused};
use crate::config::{McpConfig, McpHost};
use crate::turned_away::Cause;

const PAGES_MAY_SEND: &str =
    "authorization, content-type, dpop, mcp-protocol-version, mcp-method, mcp-name";
const PAGES_MAY_READ: &str = "www-authenticate, dpop-nonce";

/// The names that the gateway is known by.
#[derive(Debug)]
pub(super) struct Names {
    /// Of the certificate, in lower case; at any port.
    certified: Vec<String>,
    hosts: Vec<McpHost>,
    public_url: Option<String>,
    origins: Vec<String>,
}

/// A request that may be looked at.
pub(super) struct Came {
    /// The origin that its resource is at.
    pub(super) base: String,
    /// The page that caused it, where it is another origin's and may.
    page: Option<HeaderValue>,
}

impl Names {
    pub(super) fn new(certified: &[String], config: &McpConfig) -> Self {
        Self {
            certified: certified.iter().map(|name| name.to_ascii_lowercase()).collect(),
            hosts: config.hosts.clone(),
            public_url: config.public_url.clone(),
            origins: config.origins.clone(),
        }
    }

    /// Refuses what is meant for somebody else, or comes from somebody else's page.
    pub(super) fn check(&self, parts: &request::Parts) -> Result<Came, Refused> {
        let came = self.check_host(parts)?;
        let mut origins = parts.headers.get_all(ORIGIN).iter();
        let (first, second) = (origins.next(), origins.next());
        let page = match (first, second) {
            (None, _) => None,
            (Some(origin), None) if origin.as_bytes() == came.base.as_bytes() => None,
            (Some(origin), None) if self.is_ours(origin) => Some(origin.clone()),
            _ => {
                return Err(forbidden(
                    Cause::ForeignOrigin,
                    "a page of this origin may not use it; see gateway.mcp.origins",
                ));
            }
        };
        Ok(Came { page, ..came })
    }

    /// The host alone: for what anybody may read.
    pub(super) fn check_host(&self, parts: &request::Parts) -> Result<Came, Refused> {
        // HTTP/2 and HTTP/3 have it in `:authority`, HTTP/1.1 in `Host`; whoever sends both means both.
        let hosts =
            parts.headers.get_all(HOST).iter().map(|host| host.to_str().unwrap_or_default());
        let mut named =
            parts.uri.authority().map(http::uri::Authority::as_str).into_iter().chain(hosts);
        let wrong = || {
            forbidden(Cause::ForeignHost, "no gateway of this name is here; see gateway.mcp.hosts")
        };
        let first = named.next().ok_or_else(wrong)?;
        if !std::iter::once(first).chain(named).all(|host| self.is_named(host)) {
            return Err(wrong());
        }
        let base = self.public_url.clone().unwrap_or_else(|| format!("https://{first}"));
        Ok(Came { base, page: None })
    }

    fn is_named(&self, host: &str) -> bool {
        let Some(asked) = McpHost::parse(host) else { return false };
        let is_certified = self.certified.iter().any(|name| match name.strip_prefix("*.") {
            None => *name == asked.name,
            Some(domain) => asked
                .name
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest == domain),
        });
        let is_public = || self.public_url.as_deref() == Some(format!("https://{host}").as_str());
        is_certified
            || is_public()
            || self
                .hosts
                .iter()
                .any(|it| it.name == asked.name && (it.port.is_none() || it.port == asked.port))
    }

    fn is_ours(&self, origin: &HeaderValue) -> bool {
        let ours = self.public_url.iter().chain(&self.origins);
        ours.map(String::as_bytes).any(|it| it == origin.as_bytes())
    }
}

impl Came {
    /// Lets the page that caused the request read the answer.
    pub(super) fn allow_page(&self, headers: &mut HeaderMap) {
        let Some(origin) = &self.page else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(PAGES_MAY_SEND));
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(PAGES_MAY_READ));
        headers.append(VARY, HeaderValue::from_static("origin"));
    }
}

fn forbidden(cause: Cause, what: &'static str) -> Refused {
    let mut refused = refused(StatusCode::FORBIDDEN, &RpcError::invalid_request(what));
    refused.extensions_mut().insert(cause);
    refused
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let config = McpConfig {
            public_url: Some("https://gw.example.com".to_owned()),
            hosts: ["proxy:8080", "any.example"]
                .iter()
                .map(|it| McpHost::parse(it).unwrap())
                .collect(),
            origins: vec!["http://localhost:6274".to_owned()],
            ..McpConfig::default()
        };
        let certified = ["LocalHost", "*.tallyport.example", "127.0.0.1", "::1"];
        Names::new(&certified.map(str::to_owned), &config)
    }

    #[test]
    fn a_host_is_one_of_ours_or_nobodys() {
        let names = names();
        for ours in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:8443",
            "[::1]:8443",
            "a.tallyport.example",
            "proxy:8080",
            "any.example:9",
            "gw.example.com",
        ] {
            assert!(names.is_named(ours), "{ours}");
        }
        for other in [
            "",
            "evil.example",
            "localhost.evil.example",
            "evil@localhost",
            "localhost:x",
            "localhost:70000",
            "a.b.tallyport.example",
            "tallyport.example",
            ".tallyport.example",
            "proxy",
            "proxy:8081",
            "127.0.0.1.nip.io",
            "localhost localhost",
        ] {
            assert!(!names.is_named(other), "{other}");
        }
    }

    #[test]
    fn an_origin_is_compared_whole() {
        let names = names();
        let allowed = |origin: &str| {
            let request = http::Request::post("https://localhost:8443/mcp").header(ORIGIN, origin);
            names.check(&request.body(()).unwrap().into_parts().0).is_ok()
        };
        for ours in ["https://localhost:8443", "https://gw.example.com", "http://localhost:6274"] {
            let base_is_public = ours == "https://localhost:8443";
            assert_eq!(allowed(ours), !base_is_public, "{ours}");
        }
        for other in [
            "null",
            "",
            "https://evil.example",
            "http://localhost:6275",
            "https://localhost:6274",
            "http://localhost:6274/",
            "https://gw.example.com.evil.example",
        ] {
            assert!(!allowed(other), "{other}");
        }
    }
}

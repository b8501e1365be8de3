//! The target of `tallyport dev`, as `--target-url` names it.

use std::path::{Path, PathBuf};

use tallyport_gateway::config::{Credential, RawTarget, Secret, Target};
use url::Url;

use crate::exit::Failure;

const POSTGRES_PORT: u16 = 5432;

/// The target of `dev`, as `--target-url` names it.
pub struct DevTarget {
    /// What `CONNECT` calls it.
    pub name: String,
    /// Host, or the directory of a Unix socket.
    pub host: String,
    /// Port.
    pub port: u16,
    /// The default database.
    pub database: String,
    /// The role that is logged in as.
    pub user: String,
    /// Its password.
    pub password: Option<String>,
    /// `disable`, `require` or `verify-full`.
    pub sslmode: String,
    /// The CA of its certificate.
    pub ca: Option<PathBuf>,
}

impl DevTarget {
    /// Parses `postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=...&sslrootcert=FILE`. No error repeats the URL.
    pub fn parse(name: &str, url: &str) -> Result<Self, Failure> {
        let bad = |what: &str| Failure::usage(format!("--target-url: {what}"));
        let url = Url::parse(url).map_err(|error| bad(&error.to_string()))?;
        if !matches!(url.scheme(), "postgres" | "postgresql") {
            return Err(bad("begin it with postgres://"));
        }
        let plain = |text: &str| {
            let pairs = format!("x={}", text.replace('+', "%2B"));
            url::form_urlencoded::parse(pairs.as_bytes())
                .next()
                .map(|(_, value)| value.into_owned())
                .unwrap_or_default()
        };
        let host = url
            .host_str()
            .filter(|host| !host.is_empty())
            .ok_or_else(|| bad("it names no host"))?;
        if url.username().is_empty() {
            return Err(bad("it names no user"));
        }
        let mut target = Self {
            name: name.to_owned(),
            host: host.to_owned(),
            port: url.port().unwrap_or(POSTGRES_PORT),
            database: plain(url.path().trim_start_matches('/')),
            user: plain(url.username()),
            password: url.password().map(plain),
            sslmode: if is_loopback(host) {
                "disable".to_owned()
            } else {
                "verify-full".to_owned()
            },
            ca: None,
        };
        if target.database.is_empty() {
            target.database = target.user.clone();
        }
        for (key, value) in url.query_pairs() {
            match key.as_ref() {
                "sslmode" => target.sslmode = value.into_owned(),
                "sslrootcert" => target.ca = Some(PathBuf::from(value.into_owned())),
                other => {
                    return Err(bad(&format!(
                        "the option `{other}` is unknown; use sslmode and sslrootcert"
                    )));
                }
            }
        }
        Ok(target)
    }

    pub fn check(&self) -> Result<Target, Failure> {
        let raw = RawTarget {
            name: self.name.clone(),
            kind: None,
            address: format!("{}:{}", self.host, self.port),
            database: self.database.clone(),
            databases: Vec::new(),
            user: self.user.clone(),
            password: self
                .password
                .clone()
                .map(|password| Credential::Value(Secret::new(password))),
            sslmode: Some(self.sslmode.clone()),
            ca: self.ca.clone(),
            client_cert: None,
            client_key: None,
            recording: None,
            detectors: Default::default(),
            catalog_refresh_seconds: None,
            limits: Default::default(),
        };
        raw.check(Path::new(".")).map_err(|error| Failure::usage(format!("--target-url: {error}")))
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.trim_matches(['[', ']']).parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_url_is_taken_apart() {
        let target =
            DevTarget::parse("db", "postgres://me:p%40ss@db.example.com:6000/shop?sslmode=require")
                .unwrap();
        assert_eq!(
            (target.host.as_str(), target.port, target.database.as_str()),
            ("db.example.com", 6000, "shop")
        );
        assert_eq!((target.user.as_str(), target.password.as_deref()), ("me", Some("p@ss")));
        assert_eq!(target.sslmode, "require");
        assert_eq!(DevTarget::parse("db", "postgres://me@127.0.0.1").unwrap().sslmode, "disable");
        assert_eq!(
            DevTarget::parse("db", "postgres://me@db.example.com").unwrap().sslmode,
            "verify-full"
        );
    }

    #[test]
    fn no_error_repeats_the_password() {
        for url in [
            "mysql://me:hunter2@h/d",
            "postgres://me:hunter2@h/d?x=1",
            "postgres://:hunter2@h/d",
            "hunter2",
        ] {
            let error = DevTarget::parse("db", url)
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            assert!(!error.is_empty() && !error.contains("hunter2"), "{error}");
        }
    }
}

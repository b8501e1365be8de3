//! `[gateway.mcp]`: the front for clients of the Model Context Protocol. Reference: docs/reference/mcp.md.

use std::path::Path;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{ConfigError, McpServer, RawMcpServer};

/// What a front takes of a body at most.
const MOST_BODY_BYTES: usize = 1 << 20;
const LEAST_BODY_BYTES: usize = 1 << 10;
/// RFC 6749 section 3.3; bounded, since it stands in a header.
const MAX_SCOPE_BYTES: usize = 128;

/// `[gateway.mcp]`, as written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMcp {
    /// The origin that clients use, such as `https://gateway.example.com`; tokens are for `/mcp` of it. Absent, it is the one
    /// that a request came to, which is always one of the certificate's names or of `hosts`.
    pub public_url: Option<String>,
    /// Hosts beside the certificate's names that clients may use, such as those of a proxy: `NAME`, or `NAME:PORT` for
    /// that port alone.
    #[serde(default)]
    pub hosts: Vec<String>,
    /// Origins of pages that may use it, such as `https://inspector.example.com`. Those of `public_url` and of the console may.
    #[serde(default)]
    pub origins: Vec<String>,
    /// The largest message, in bytes (default 1048576, which is the most).
    pub max_body_bytes: Option<usize>,
    /// What tokens must be issued for; policy decides alone where nothing is said.
    #[serde(default)]
    pub scopes: RawMcpScopes,
    /// MCP servers behind the gateway.
    #[serde(default)]
    pub servers: Vec<RawMcpServer>,
}

/// `[gateway.mcp.scopes]`, as written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMcpScopes {
    /// The scope without which nothing is answered.
    pub connect: Option<String>,
    /// The scope of the gateway's own tools that change data; whoever has it needs no `connect`. Tools of servers are policy's.
    pub write: Option<String>,
}

/// How `/mcp` is served.
#[derive(Clone, Debug)]
pub struct McpConfig {
    pub(crate) public_url: Option<String>,
    pub(crate) hosts: Vec<McpHost>,
    pub(crate) origins: Vec<String>,
    pub(crate) max_body_bytes: usize,
    pub(crate) connect: Option<String>,
    pub(crate) write: Option<String>,
    pub(crate) servers: Vec<McpServer>,
    /// The origin of the console, whose pages show approvals.
    pub(crate) page: Option<Url>,
    /// How often a server behind the gateway is looked at. No setting of the file.
    pub(crate) look_every: Duration,
    /// How much may be under way. No settings of the file.
    pub limits: McpLimits,
}

/// How many calls of tools may be under way, and how long they wait for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct McpLimits {
    /// Of all principals together.
    pub max_calls: usize,
    /// Of one principal.
    pub max_calls_per_principal: usize,
    /// How long an answer is waited for once a statement waits for an approval: clients give up after a minute by default.
    pub patience: Duration,
}

/// A host that clients may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct McpHost {
    pub(crate) name: String,
    /// Any where absent.
    pub(crate) port: Option<u16>,
}

impl Default for McpConfig {
    fn default() -> Self {
        Self {
            public_url: None,
            hosts: Vec::new(),
            origins: Vec::new(),
            max_body_bytes: MOST_BODY_BYTES,
            connect: None,
            write: None,
            servers: Vec::new(),
            page: None,
            look_every: Duration::from_secs(300),
            limits: McpLimits {
                max_calls: 1024,
                max_calls_per_principal: 64,
                patience: Duration::from_secs(20),
            },
        }
    }
}

impl McpConfig {
    /// Waits so long for people.
    #[must_use]
    pub const fn patient_for(mut self, patience: Duration) -> Self {
        self.limits.patience = patience;
        self
    }

    /// Looks at the servers behind the gateway so often.
    #[must_use]
    pub const fn looking_every(mut self, interval: Duration) -> Self {
        self.look_every = interval;
        self
    }

    /// With these servers behind the gateway.
    #[must_use]
    pub fn with_servers(mut self, servers: Vec<McpServer>) -> Self {
        self.servers = servers;
        self
    }

    /// Lets the console's pages in, and sends people there.
    #[must_use]
    pub fn with_console(mut self, of: &Url) -> Self {
        self.origins.push(of.origin().ascii_serialization());
        self.page = Some(of.clone());
        self
    }
}

impl RawMcp {
    /// Checks it; relative paths are taken from `folder`.
    ///
    /// # Errors
    /// [`ConfigError`], naming the key and the fix.
    pub fn check(&self, folder: &Path) -> Result<McpConfig, ConfigError> {
        let bad =
            |key: &str, problem: String| ConfigError::new(format!("gateway.mcp.{key}"), problem);
        let public_url = self.public_url.as_deref().map(origin_of_https).transpose();
        let public_url = public_url.map_err(|fix| bad("public_url", fix))?;
        let hosts = self.hosts.iter().map(|host| {
            McpHost::parse(host).ok_or_else(|| {
                bad("hosts", format!("`{host}` is no host; write one as `gateway.example.com` or `localhost:8080`"))
            })
        });
        let hosts = hosts.collect::<Result<_, _>>()?;
        let origins = self.origins.iter().map(|text| {
            let origin = Url::parse(text).ok().filter(is_bare).map(|url| url.origin());
            origin.filter(url::Origin::is_tuple).map(|it| it.ascii_serialization()).ok_or_else(|| {
                bad("origins", format!("`{text}` is no origin; write one as `https://host` or `https://host:port`"))
            })
        });
        let origins = origins.collect::<Result<_, _>>()?;
        let max_body_bytes = match self.max_body_bytes {
            None => MOST_BODY_BYTES,
            Some(bytes @ LEAST_BODY_BYTES..=MOST_BODY_BYTES) => bytes,
            Some(bytes) => {
                let problem =
                    format!("{bytes} is not within {LEAST_BODY_BYTES} to {MOST_BODY_BYTES}");
                return Err(bad("max_body_bytes", problem));
            }
        };
        let scope = |key: &str, scope: &Option<String>| {
            match scope {
            Some(scope) if !is_scope(scope) => Err(bad(
                &format!("scopes.{key}"),
                "write one scope: visible ASCII without blanks, quotes and backslashes, or leave the key out".to_owned(),
            )),
            scope => Ok(scope.clone()),
        }
        };
        Ok(McpConfig {
            public_url,
            hosts,
            origins,
            max_body_bytes,
            connect: scope("connect", &self.scopes.connect)?,
            write: scope("write", &self.scopes.write)?,
            servers: self.servers.iter().map(|it| it.check(folder)).collect::<Result<_, _>>()?,
            ..McpConfig::default()
        })
    }
}

impl McpHost {
    /// Of `NAME` or `NAME:PORT`; an IPv6 address has its brackets.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let authority: http::uri::Authority = text.parse().ok()?;
        if authority.as_str().contains('@') || authority.host().is_empty() {
            return None;
        }
        let port = authority.port_u16();
        // A port that is none would pass for any.
        let rest = authority.as_str().strip_prefix(authority.host())?;
        if !rest.is_empty() && port.is_none() {
            return None;
        }
        let name = authority.host().trim_matches(['[', ']']).to_ascii_lowercase();
        Some(Self { name, port })
    }
}

fn origin_of_https(text: &str) -> Result<String, String> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" && is_bare(url));
    url.map(|url| url.origin().ascii_serialization()).ok_or_else(|| {
        "write the https origin that clients use, such as https://gateway.example.com, without a path".to_owned()
    })
}

/// Without anything after the port.
fn is_bare(url: &Url) -> bool {
    url.path() == "/"
        && url.query().is_none()
        && url.fragment().is_none()
        && url.username().is_empty()
        && url.password().is_none()
}

fn is_scope(text: &str) -> bool {
    let is_part = |c: char| matches!(c, '!'..='~') && !matches!(c, '"' | '\\');
    (1..=MAX_SCOPE_BYTES).contains(&text.len()) && text.chars().all(is_part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(text: &str) -> Result<McpConfig, String> {
        let raw: RawMcp = toml::from_str(text).map_err(|error| error.to_string())?;
        raw.check(Path::new("/etc/tallyport")).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_written_is_what_is_served() {
        let bare = checked("").unwrap();
        assert_eq!(format!("{bare:?}"), format!("{:?}", McpConfig::default()));
        let config = checked(
            "public_url = 'https://GW.example.com/'\nhosts = ['localhost:8080', '[::1]']\norigins = ['http://localhost:6274/']\n\
             max_body_bytes = 65536\nscopes = { connect = 'tallyport', write = 'tallyport:write' }",
        )
        .unwrap();
        assert_eq!(config.public_url.as_deref(), Some("https://gw.example.com"));
        let hosts: Vec<_> = config.hosts.iter().map(|it| (it.name.as_str(), it.port)).collect();
        assert_eq!(hosts, [("localhost", Some(8080)), ("::1", None)]);
        assert_eq!(config.origins, ["http://localhost:6274"]);
        assert_eq!((config.connect.as_deref(), config.max_body_bytes), (Some("tallyport"), 65536));
    }

    #[test]
    fn what_cannot_be_meant_names_its_key() {
        for (text, key) in [
            ("public_url = 'http://gw.example.com'", "gateway.mcp.public_url"),
            ("public_url = 'https://gw.example.com/mcp'", "gateway.mcp.public_url"),
            ("public_url = 'https://me@gw.example.com'", "gateway.mcp.public_url"),
            ("hosts = ['https://gw']", "gateway.mcp.hosts"),
            ("hosts = ['a:b']", "gateway.mcp.hosts"),
            ("hosts = ['a:70000']", "gateway.mcp.hosts"),
            ("hosts = ['u@a']", "gateway.mcp.hosts"),
            ("origins = ['null']", "gateway.mcp.origins"),
            ("origins = ['*']", "gateway.mcp.origins"),
            ("origins = ['https://a/b']", "gateway.mcp.origins"),
            ("max_body_bytes = 2000000", "gateway.mcp.max_body_bytes"),
            ("max_body_bytes = 0", "gateway.mcp.max_body_bytes"),
            ("scopes = { connect = 'a b' }", "gateway.mcp.scopes.connect"),
            ("scopes = { write = '' }", "gateway.mcp.scopes.write"),
            ("scopes = { other = 'a' }", "other"),
            ("host = 'a'", "host"),
            ("servers = [{ name = 'x', url = 'y' }]", "gateway.mcp.servers.x.url"),
        ] {
            let told = checked(text).unwrap_err();
            assert!(told.contains(key), "{text}: {told}");
        }
    }
}

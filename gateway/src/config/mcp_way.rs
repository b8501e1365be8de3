//! How an MCP server is reached: by HTTP, or as a child of the gateway. Reference: docs/reference/mcp-servers.md.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use url::Url;

use super::{Credential, OAuth2, RawMcpServer};

/// `[gateway.mcp.servers.processes]` as written.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawMcpProcesses {
    /// The most at once (default 32).
    pub max: Option<usize>,
    /// The most of one principal (default 4).
    pub max_per_principal: Option<usize>,
    /// One that nobody uses for so long is ended, in seconds (default 1800).
    pub idle_seconds: Option<u64>,
}

/// How it is reached.
#[derive(Clone, Debug)]
pub(crate) enum McpWay {
    /// By the transport "Streamable HTTP".
    Http(Box<McpEndpoint>),
    /// By the transport "stdio".
    Child(McpProcess),
}

/// Where it listens, and what it is shown.
#[derive(Clone, Debug)]
pub(crate) struct McpEndpoint {
    pub(crate) url: Url,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) token: Option<Credential>,
    pub(crate) oauth2: Option<OAuth2>,
    pub(crate) headers: Vec<(HeaderName, Credential)>,
}

/// The program that it is.
#[derive(Clone, Debug)]
pub(crate) struct McpProcess {
    /// With its whole path.
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Vec<(String, Credential)>,
    pub(crate) folder: PathBuf,
    /// The most processes at once, beside the gateway's own.
    pub(crate) max_processes: usize,
    pub(crate) max_processes_per_principal: usize,
    /// One that nobody uses for so long is ended.
    pub(crate) idle: Duration,
    /// Whether something of its answers is hidden: what it writes elsewhere, nothing is hidden in.
    pub(crate) is_screened: bool,
}

/// The key, and how to fix it.
type Wrong = (&'static str, String);

impl RawMcpServer {
    /// Of `NAME=URL` or `NAME=stdio:COMMAND`, whose words are parted by blanks.
    #[must_use]
    pub fn in_a_word(text: &str) -> Option<Self> {
        let (name, place) = text.split_once('=')?;
        let command = place.strip_prefix("stdio:");
        let words = command.unwrap_or_default().split_whitespace();
        Some(Self {
            name: name.to_owned(),
            url: command.is_none().then(|| place.to_owned()),
            command: words.map(str::to_owned).collect(),
            ..Self::default()
        })
    }

    pub(super) fn way(&self, folder: &Path) -> Result<McpWay, Wrong> {
        match (&self.url, self.command.as_slice()) {
            (Some(url), []) => self.endpoint(url, folder).map(|it| McpWay::Http(Box::new(it))),
            (None, [program, arguments @ ..]) => {
                self.process(program, arguments, folder).map(McpWay::Child)
            }
            _ => {
                let fix = "write the URL of its endpoint, or `command` for a program that the gateway starts; one of both";
                Err(("url", fix.to_owned()))
            }
        }
    }

    fn endpoint(&self, url: &str, folder: &Path) -> Result<McpEndpoint, Wrong> {
        for (key, is_there) in [
            ("env", !self.env.is_empty()),
            ("cwd", self.cwd.is_some()),
            ("processes", self.processes.is_some()),
        ] {
            if is_there {
                return Err((key, "is for a server with `command`; leave it out".to_owned()));
            }
        }
        let url = parse_url(url).map_err(|problem| ("url", problem))?;
        let headers = self.headers.iter().map(|(name, secret)| {
            let known = HeaderName::try_from(name).ok().filter(may_be_set);
            let name = known.ok_or_else(|| {
                ("headers", format!("`{name}` is no field that can be set; use one such as x-api-key, or `token`"))
            })?;
            Ok((name, secret.clone().relative_to(folder)))
        });
        if self.token.is_some() && self.oauth2.is_some() {
            return Err(("token", "give one of token and oauth2".to_owned()));
        }
        let mut oauth2 = match &self.oauth2 {
            None => None,
            Some(raw) => Some(raw.check(folder).map_err(|problem| ("oauth2", problem))?),
        };
        if let Some(oauth2) = &mut oauth2 {
            // A token is for this server and no other (RFC 8707).
            oauth2.audience.get_or_insert_with(|| url.to_string());
        }
        Ok(McpEndpoint {
            url,
            oauth2,
            ca: self.ca.as_ref().map(|ca| folder.join(ca)),
            token: self.token.clone().map(|token| token.relative_to(folder)),
            headers: headers.collect::<Result<_, _>>()?,
        })
    }

    fn process(
        &self,
        program: &str,
        arguments: &[String],
        folder: &Path,
    ) -> Result<McpProcess, Wrong> {
        for (key, is_there) in [
            ("ca", self.ca.is_some()),
            ("token", self.token.is_some()),
            ("oauth2", self.oauth2.is_some()),
            ("headers", !self.headers.is_empty()),
        ] {
            if is_there {
                return Err((key, "is for a server with `url`; use `env`".to_owned()));
            }
        }
        let has_nul = |text: &String| text.contains('\0');
        if has_nul(&program.to_owned()) || arguments.iter().any(has_nul) {
            return Err(("command", "has a NUL in it".to_owned()));
        }
        let program = find_program(program, folder).map_err(|problem| ("command", problem))?;
        let environment = self.env.iter().map(|(name, secret)| {
            if !is_variable(name) {
                let problem =
                    format!("`{name}` is no name of a variable; use A-Z, a-z, 0-9 and `_`");
                return Err(("env", problem));
            }
            Ok((name.clone(), secret.clone().relative_to(folder)))
        });
        let within = self.cwd.as_ref().map_or_else(|| folder.to_owned(), |cwd| folder.join(cwd));
        let within = whole(&within).filter(|it| it.is_dir()).ok_or_else(|| {
            ("cwd", format!("{} is no folder; make it, or name another", within.display()))
        })?;
        let processes = self.processes.clone().unwrap_or_default();
        let at_least_one = |key, value| match value {
            0 => Err((key, "0 would start nothing; use 1 or more".to_owned())),
            value => Ok(value),
        };
        let max_processes = at_least_one("processes.max", processes.max.unwrap_or(32))?;
        let idle = match processes.idle_seconds.unwrap_or(1800) {
            seconds @ 1..=86_400 => Duration::from_secs(seconds),
            other => {
                return Err((
                    "processes.idle_seconds",
                    format!("{other} is not within 1 to 86400"),
                ));
            }
        };
        Ok(McpProcess {
            is_screened: false,
            program,
            arguments: arguments.to_vec(),
            environment: environment.collect::<Result<_, _>>()?,
            folder: within,
            max_processes,
            max_processes_per_principal: at_least_one(
                "processes.max_per_principal",
                processes.max_per_principal.unwrap_or(4),
            )?,
            idle,
        })
    }
}

/// Where it is, if it can be run: a path as it stands, a name as `PATH` has it.
fn find_program(program: &str, folder: &Path) -> Result<PathBuf, String> {
    let is_path = program.contains('/');
    let runs = |file: &PathBuf| {
        file.metadata().is_ok_and(|it| it.is_file() && it.permissions().mode() & 0o111 != 0)
    };
    let found = if is_path {
        whole(&folder.join(program)).filter(runs)
    } else {
        let path = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&path).find_map(|it| whole(&it.join(program)).filter(runs))
    };
    found.ok_or_else(|| match (program, is_path) {
        ("", _) => "its first word is empty; write [\"/usr/bin/crm-mcp\", \"--stdio\"]".to_owned(),
        (_, true) => {
            format!("{program} is no file that can be run; install it, or make it executable")
        }
        (_, false) => {
            format!("`{program}` is not in PATH; install it, or name it with its whole path")
        }
    })
}

/// Its own folder does not change what it means.
fn whole(path: &Path) -> Option<PathBuf> {
    std::path::absolute(Path::new(".").join(path)).ok()
}

fn is_variable(name: &str) -> bool {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    !name.is_empty() && name.chars().all(is_part) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// What the protocol and HTTP say themselves cannot be set.
fn may_be_set(name: &HeaderName) -> bool {
    const OURS: [&str; 9] = [
        "host",
        "content-length",
        "content-type",
        "accept",
        "connection",
        "transfer-encoding",
        "upgrade",
        "te",
        "trailer",
    ];
    let name = name.as_str();
    !OURS.contains(&name) && !name.starts_with("mcp-")
}

fn parse_url(text: &str) -> Result<Url, String> {
    let fix = || {
        "write the URL of its endpoint, such as https://mcp.example.com/mcp, without a user"
            .to_owned()
    };
    let url = Url::parse(text).map_err(|_| fix())?;
    let has_user = !url.username().is_empty() || url.password().is_some();
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => return Err(fix()),
    };
    match url.scheme() {
        _ if has_user || url.fragment().is_some() => Err(fix()),
        "https" => Ok(url),
        "http" if is_here => Ok(url),
        "http" => Err("`http` shows the credential to whoever listens; use https".to_owned()),
        _ => Err(fix()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(text: &str) -> Result<McpWay, String> {
        let raw: RawMcpServer = toml::from_str(&format!("name = 'crm'\n{text}")).unwrap();
        raw.way(Path::new("/")).map_err(|(key, problem)| format!("{key}: {problem}"))
    }

    #[test]
    fn a_program_is_found_as_a_shell_would_find_it() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("crm"), "#!/bin/sh\n").unwrap();
        let program = || find_program("./crm", folder.path());
        assert!(program().unwrap_err().contains("make it executable"));
        let file = folder.path().join("crm");
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o700)).unwrap();
        assert_eq!(program().unwrap(), file);
        let Ok(McpWay::Child(found)) = way("command = ['sh', '-c', 'x']\ncwd = 'usr'") else {
            panic!("it is there")
        };
        assert!(found.program.is_absolute() && found.program.ends_with("sh"), "{found:?}");
        assert_eq!((found.folder.as_path(), found.arguments.len()), (Path::new("/usr"), 2));
        assert_eq!((found.max_processes, found.max_processes_per_principal), (32, 4));
    }

    #[test]
    fn a_token_is_for_its_server_where_nothing_else_is_said() {
        let audience = |more: &str| {
            let text = format!(
                "url = 'https://crm/mcp'\noauth2 = {{ issuer = 'https://i', client_id = 'x', client_secret = {{ value = 's' }}{more} }}"
            );
            let Ok(McpWay::Http(endpoint)) = way(&text) else { panic!("it can be meant") };
            endpoint.oauth2.unwrap().audience.unwrap()
        };
        assert_eq!(audience(""), "https://crm/mcp");
        assert_eq!(audience(", audience = 'crm'"), "crm");
    }

    #[test]
    fn a_word_says_where_a_server_is() {
        let url = RawMcpServer::in_a_word("a=https://h/mcp?x=y").unwrap();
        assert_eq!((url.name.as_str(), url.url.as_deref()), ("a", Some("https://h/mcp?x=y")));
        let child = RawMcpServer::in_a_word("a=stdio:sh  -c x=y").unwrap();
        assert_eq!(
            (child.url, child.command),
            (None, ["sh", "-c", "x=y"].map(str::to_owned).into())
        );
        assert!(RawMcpServer::in_a_word("https://h/mcp").is_none());
    }

    #[test]
    fn what_cannot_be_meant_names_its_key() {
        for (text, key) in [
            ("", "url"),
            ("url = 'https://crm'\ncommand = ['sh']", "url"),
            ("command = []", "url"),
            ("command = ['']", "command"),
            ("command = ['no-such-program-here']", "command"),
            ("command = ['/etc/passwd']", "command"),
            ("command = ['/usr']", "command"),
            ("command = ['sh', \"a\\u0000b\"]", "command"),
            ("command = ['sh']\ncwd = 'no/such/folder'", "cwd"),
            ("command = ['sh']\nenv = { 'A=B' = { value = 'x' } }", "env"),
            ("command = ['sh']\nenv = { 1A = { value = 'x' } }", "env"),
            ("command = ['sh']\ntoken = { value = 'x' }", "token"),
            ("command = ['sh']\nca = 'x.pem'", "ca"),
            ("command = ['sh']\noauth2 = { client_id = 'x' }", "oauth2"),
            ("url = 'https://crm'\noauth2 = { client_id = 'x' }", "oauth2"),
            ("url = 'https://crm'\ntoken = { value = 'x' }\noauth2 = { client_id = 'x' }", "token"),
            ("command = ['sh']\nheaders = { x-a = { value = 'x' } }", "headers"),
            ("command = ['sh']\nprocesses = { max = 0 }", "processes.max"),
            (
                "command = ['sh']\nprocesses = { max_per_principal = 0 }",
                "processes.max_per_principal",
            ),
            ("command = ['sh']\nprocesses = { idle_seconds = 0 }", "processes.idle_seconds"),
            ("url = 'https://crm'\nenv = { A = { value = 'x' } }", "env"),
            ("url = 'https://crm'\ncwd = '/'", "cwd"),
            ("url = 'https://crm'\nprocesses = { idle_seconds = 5 }", "processes"),
        ] {
            let told = way(text).unwrap_err();
            assert!(told.starts_with(key), "{text}: {told}");
        }
    }
}

//! The ready file of `tallyport dev`: where everything is and how to get a token.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tallyport_access::SecretToken;
use tallyport_access::client::{ClientAuthentication, ClientCredentials, TokenSource};

use crate::exit::Failure;
use crate::output::program;

/// What `dev --ready-file` writes. Shape and names are a contract: tests and scripts rely on them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadyFile {
    /// The process that serves.
    pub pid: u32,
    /// Where log, lake and development keys are.
    pub data_dir: PathBuf,
    /// The gateway's addresses.
    pub gateway: GatewayAddresses,
    /// The CA certificate that signed the gateway's (PEM).
    pub ca: PathBuf,
    /// The query service's addresses.
    pub query: QueryAddresses,
    /// The log's URL.
    pub log: String,
    /// The lake's URL.
    pub lake: String,
    /// What can be reached.
    pub targets: Vec<ReadyTarget>,
    /// Where `/metrics`, `/healthz` and `/readyz` are answered, as a URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub telemetry: Option<String>,
    /// Where tokens come from.
    pub issuer: ReadyIssuer,
}

/// Where the gateway listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct GatewayAddresses {
    /// HTTP/3 over QUIC, `IP:PORT` (UDP).
    pub quic: String,
    /// HTTP/2 and HTTP/1.1 over TLS, as a URL.
    pub https: String,
    /// The name its certificate is for.
    pub server_name: String,
    /// Where people approve and look: the pages.
    #[serde(default)]
    pub console: String,
}

/// Where the query service listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct QueryAddresses {
    /// HTTP, as a URL.
    pub http: String,
    /// PostgreSQL wire, `IP:PORT`.
    pub pg: String,
}

/// A target.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadyTarget {
    /// Its name, as `CONNECT` takes it.
    pub name: String,
    /// Its protocol.
    pub kind: String,
    /// Its default database, where it has some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

/// The development issuer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadyIssuer {
    /// Its issuer URL.
    pub url: String,
    /// Its token endpoint: client-credentials grant, secret by HTTP Basic or in the form.
    pub token_url: String,
    /// The audience of its tokens.
    pub audience: String,
    /// The public client by which people sign in (`tallyport login`, the pages).
    #[serde(default)]
    pub people_client: String,
    /// Its clients, one per principal.
    pub clients: Vec<ReadyClient>,
}

/// A client of the development issuer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReadyClient {
    /// `client_id`.
    pub id: String,
    /// `client_secret`.
    pub secret: String,
    /// Who it stands for.
    pub description: String,
}

impl ReadyFile {
    /// Reads it.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!(
                "{}: {error}; is `tallyport dev --ready-file` running? --ready-file or TALLYPORT_READY_FILE names it",
                path.display()
            ))
        })?;
        serde_json::from_str(&text).map_err(|error| {
            // Not the library's text: it quotes values, and this file holds secrets.
            Failure::usage(format!(
                "{} is no ready file: line {}, column {} is not as expected",
                path.display(),
                error.line(),
                error.column()
            ))
        })
    }

    /// Writes it, readable by its owner only (it holds development secrets), at once or not at all.
    pub fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = serde_json::to_string_pretty(self).map_err(Failure::failed)?;
        write_whole(path, &text)
    }

    /// What `dev` says once it serves; `file` is where it wrote this.
    pub fn announcement(&self, file: Option<&Path>) -> String {
        let mut lines = vec![
            "Tallyport dev is ready (loopback only; stop it with Ctrl-C).".to_owned(),
            format!("  gateway   {} (QUIC), {} (TCP)", self.gateway.quic, self.gateway.https),
            format!(
                "  query     {} (HTTP), {} (PostgreSQL wire; the password is a token)",
                self.query.http, self.query.pg
            ),
            format!("  issuer    {}", self.issuer.url),
            format!(
                "  mcp       {}/mcp, or `tallyport mcp` as a client's child",
                self.gateway.https
            ),
            format!("  pages     {} (sign in as any of the people below)", self.gateway.console),
        ];
        lines
            .extend(self.telemetry.iter().map(|url| format!("  telemetry {url}/metrics, /readyz")));
        lines.extend(self.targets.iter().map(|target| {
            let database =
                target.database.as_ref().map(|it| format!(", database {it}")).unwrap_or_default();
            format!("  target    {} ({}{database})", target.name, target.kind)
        }));
        let clients = self.issuer.clients.iter();
        lines.extend(
            clients.map(|client| format!("  client    {:14} {}", client.id, client.description)),
        );
        match file {
            None => lines.push(
                "Start it with --ready-file FILE to use the other commands with it.".to_owned(),
            ),
            Some(file) => {
                let target = self.targets.first().map_or("TARGET", |target| target.name.as_str());
                let program = program();
                lines.push("Next, in a second terminal:".to_owned());
                lines.push(format!("  export TALLYPORT_READY_FILE={}", file.display()));
                lines.push(format!("  {program} connect {target} --as support-agent"));
                lines.push(format!("  {program} ask denied --as auditor"));
            }
        }
        lines.join("\n")
    }

    /// Tokens for a client of the development issuer.
    pub fn token_source(&self, id: &str) -> Result<TokenSource, Failure> {
        TokenSource::client_credentials(self.credentials(id)?).map_err(Failure::usage)
    }

    /// What a client of the development issuer gets tokens with.
    pub fn credentials(&self, id: &str) -> Result<ClientCredentials, Failure> {
        let client = self.client(id)?;
        Ok(ClientCredentials {
            issuer: self.issuer.url.clone(),
            token_url: Some(self.issuer.token_url.clone()),
            client_id: client.id.clone(),
            authentication: ClientAuthentication::Secret(SecretToken::new(client.secret.clone())),
            audience: Some(self.issuer.audience.clone()),
            scope: None,
            extra: Vec::new(),
            roots_pem: None,
        })
    }

    /// The client of this id.
    pub fn client(&self, id: &str) -> Result<&ReadyClient, Failure> {
        self.issuer.clients.iter().find(|client| client.id == id).ok_or_else(|| {
            let known: Vec<&str> =
                self.issuer.clients.iter().map(|client| client.id.as_str()).collect();
            Failure::usage(format!(
                "the development issuer has no client `{id}`; it has {}",
                known.join(", ")
            ))
        })
    }
}

/// Writes a file that others wait for: whole or not at all, readable by its owner only.
pub fn write_whole(path: &Path, text: &str) -> Result<(), Failure> {
    let failed =
        |error: &dyn std::fmt::Display| Failure::failed(format!("{}: {error}", path.display()));
    // A new file takes the place of what is there: of a device, or of a pipe that somebody reads, there would be none any more.
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        let fix = "it is no regular file, and would be replaced; name another path";
        return Err(Failure::usage(format!("{}: {fix}", path.display())));
    }
    let folder =
        path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(|error| failed(&error))?;
    std::io::Write::write_all(&mut file, text.as_bytes()).map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileTypeExt as _;

    use super::*;

    #[test]
    fn what_is_no_regular_file_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("place");
        let _listener = std::os::unix::net::UnixListener::bind(&place).unwrap();
        let refused = write_whole(&place, "text").unwrap_err().to_string();
        assert!(refused.contains("it is no regular file"), "{refused}");
        assert!(std::fs::metadata(&place).unwrap().file_type().is_socket());
        let file = folder.path().join("file");
        for text in ["new", "anew"] {
            write_whole(&file, text).unwrap();
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
    }
}

//! Clients for what is at one place. They are made of files that somebody else may write anew: certificates of who may vouch
//! for the place, and the gateway's own.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder, Identity};
use tallyport_access::with_causes;
use url::Url;
use zeroize::Zeroizing;

use crate::config::ClientIdentity;
use crate::tls::{check_pair, modified};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Common servers close what is idle for five seconds.
const MAX_IDLE: Duration = Duration::from_secs(4);
/// How often the files are looked at, at most.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// What a client is made of.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) url: Url,
    /// Who may vouch for it; the system's where there are none.
    pub(crate) roots: Option<PathBuf>,
    /// What the gateway shows.
    pub(crate) own: Option<ClientIdentity>,
    /// HTTP/1.1 and nothing newer.
    pub(crate) http1: bool,
}

/// A client that goes straight there and follows nobody elsewhere.
pub(crate) struct FollowedClient {
    made: Made,
    current: ArcSwap<Client>,
    files: Mutex<Files>,
}

struct Files {
    written: Vec<SystemTime>,
    look_at: Instant,
    /// Why they were no good, as it was said.
    refused: Option<String>,
}

impl FollowedClient {
    /// # Errors
    /// Why not, in words that name the file.
    pub(crate) fn new(made: Made) -> Result<Self, String> {
        let written = made.written();
        let client = made.client()?;
        let files = Files { written, look_at: Instant::now() + LOOK_EVERY, refused: None };
        Ok(Self { made, current: ArcSwap::from_pointee(client), files: Mutex::new(files) })
    }

    /// Made of what the files have, or had when they were good last.
    pub(crate) fn get(&self) -> Client {
        let now = Instant::now();
        // Who finds another one looking goes on with what there is.
        if let Some(mut files) = self.files.try_lock()
            && now >= files.look_at
        {
            files.look_at = now + LOOK_EVERY;
            self.look(&mut files);
        }
        Client::clone(&self.current.load())
    }

    fn look(&self, files: &mut Files) {
        let written = self.made.written();
        if written == files.written {
            return;
        }
        let place = &self.made.url;
        match self.made.client() {
            Ok(client) => {
                tracing::info!(%place, "certificates were read anew");
                self.current.store(client.into());
                (files.written, files.refused) = (written, None);
            }
            Err(error) if files.refused.as_ref() == Some(&error) => {}
            Err(error) => {
                tracing::error!(%place, %error, "certificates cannot be read anew; those before serve on");
                files.refused = Some(error);
            }
        }
    }
}

impl Made {
    fn files(&self) -> impl Iterator<Item = &Path> {
        let own = self.own.iter().flat_map(|own| [&own.cert, &own.key]);
        self.roots.iter().chain(own).map(PathBuf::as_path)
    }

    fn written(&self) -> Vec<SystemTime> {
        self.files().map(modified).collect()
    }

    fn client(&self) -> Result<Client, String> {
        let builder = self.trusting()?;
        let builder = if self.http1 { builder.http1_only() } else { builder };
        let builder = match &self.own {
            Some(own) => builder.identity(identity(own)?),
            None => builder,
        };
        builder.build().map_err(|error| with_causes(&error))
    }

    fn trusting(&self) -> Result<ClientBuilder, String> {
        let builder = Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(MAX_IDLE)
            .user_agent(concat!("tallyport/", env!("CARGO_PKG_VERSION")));
        let Some(path) = &self.roots else {
            // Without TLS there is no need for the system's.
            let plain = self.url.scheme() == "http";
            return Ok(if plain { builder.tls_certs_only([]) } else { builder });
        };
        let named = |error: String| format!("{}: {error}", path.display());
        let pem = std::fs::read(path).map_err(|error| named(error.to_string()))?;
        let roots = Certificate::from_pem_bundle(&pem);
        Ok(builder.tls_certs_only(roots.map_err(|error| named(with_causes(&error)))?))
    }
}

fn identity(own: &ClientIdentity) -> Result<Identity, String> {
    check_pair(&own.cert, &own.key).map_err(|error| error.to_string())?;
    let read = |path: &Path| {
        let read = std::fs::read(path).map(Zeroizing::new);
        read.map_err(|error| format!("{}: {error}", path.display()))
    };
    let mut pem = read(&own.cert)?;
    pem.push(b'\n');
    pem.extend_from_slice(&read(&own.key)?);
    let broken = |error| format!("{}: {}", own.cert.display(), with_causes(&error));
    Identity::from_pem(&pem).map_err(broken)
}

impl fmt::Debug for FollowedClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FollowedClient").field("made", &self.made).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

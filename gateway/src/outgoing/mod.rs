//! What is behind the gateway and reached by HTTP: clients that go straight there and follow nobody elsewhere, and the credentials
//! that it is shown.

mod echo;
mod secrets;
mod tokens;

use std::path::Path;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder};
use tallyport_access::with_causes;
use url::Url;

pub(crate) use self::echo::Echo;
pub(crate) use self::secrets::Secrets;
pub(crate) use self::tokens::{NoToken, Tokens, read};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Common servers close what is idle for five seconds.
const MAX_IDLE: Duration = Duration::from_secs(4);

/// Makes clients for what is at `url`, which is who these roots say, or the system's where there are none.
///
/// # Errors
/// Why not, in words: where the roots cannot be read.
pub(crate) fn client_for(url: &Url, roots: Option<&Path>) -> Result<ClientBuilder, String> {
    let builder = Client::builder()
        .redirect(Policy::none())
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_idle_timeout(MAX_IDLE)
        .user_agent(concat!("tallyport/", env!("CARGO_PKG_VERSION")));
    let Some(path) = roots else {
        // Without TLS there is no need for the system's.
        return Ok(if url.scheme() == "http" { builder.tls_certs_only([]) } else { builder });
    };
    let named = |error: String| format!("{}: {error}", path.display());
    let pem = std::fs::read(path).map_err(|error| named(error.to_string()))?;
    let roots = Certificate::from_pem_bundle(&pem).map_err(|error| named(with_causes(&error)))?;
    Ok(builder.tls_certs_only(roots))
}

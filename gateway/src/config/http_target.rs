//! `[[targets]]` with `kind = "http"`: a service by its routes. Reference: docs/reference/http-targets.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use gateway_core::http::{BodyFields, QueryFields, Route, Service, Template};
use gateway_core::target::Protocol;
use http::HeaderName;
use schemars::JsonSchema;
use serde::Deserialize;
use tallyport_schemas::{TargetKind, TargetRef};

use super::request_target::{Problem, RawHide, RawRequestTarget, hides, named};
use super::{ConfigError, Credential, RawOAuth2, RequestTarget};

/// The methods that a route may have.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
/// Methods that change nothing (RFC 9110 section 9.2.1).
const SAFE: [&str; 2] = ["GET", "OPTIONS"];

/// `[[targets]]` of this kind as written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct RawHttpTarget {
    /// The protocol.
    pub kind: HttpKind,
    /// Where it is and how it is asked.
    #[serde(flatten)]
    pub target: RawRequestTarget,
    /// A user and a password that it is shown as `Authorization: Basic`.
    pub basic: Option<RawBasic>,
    /// Other fields that it is shown, each with a secret, such as `{ x-api-key = { env = "KEY" } }`.
    #[serde(default)]
    pub headers: BTreeMap<String, Credential>,
    /// A token by the client-credentials grant (RFC 6749 section 4.4), which it is shown as `Authorization: Bearer`.
    pub oauth2: Option<RawOAuth2>,
    /// Further fields of requests that pass on, in lower case.
    #[serde(default)]
    pub request_fields: Vec<String>,
    /// Further fields of answers that pass on, in lower case.
    #[serde(default)]
    pub answer_fields: Vec<String>,
    /// What may be asked; nothing else is.
    #[serde(default)]
    pub routes: Vec<RawRoute>,
}

/// The word for this kind.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
pub enum HttpKind {
    /// An HTTP service by its routes.
    #[serde(rename = "http")]
    Http,
}

/// A user and a password (RFC 7617).
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawBasic {
    /// The user.
    pub user: String,
    /// Its password.
    pub password: Credential,
}

/// `[[targets.routes]]` as written.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawRoute {
    /// What policies call it: `[A-Za-z0-9._-]`.
    pub name: String,
    /// `GET` (which `HEAD` may ask, too), `POST`, `PUT`, `PATCH`, `DELETE` or `OPTIONS`.
    pub method: String,
    /// Its paths below the target's `url`, such as `/customers/{id}`; `{rest*}` at the end is any number of segments.
    pub path: String,
    /// Parameters of a query that it takes, each once; one that may repeat with `*` at its end.
    #[serde(default)]
    pub query: Vec<String>,
    /// Places that it takes in a body of JSON or of a form: JSON pointers, such as `/amount` or `/lines/*/sku`, with all below;
    /// `*` alone for anything. No body where absent.
    #[serde(default)]
    pub body: Vec<String>,
    /// Labels, for policies.
    #[serde(default)]
    pub labels: Vec<String>,
    /// Whether it changes nothing, where its method does not say so (`GET` and `OPTIONS` do).
    pub read_only: Option<bool>,
    /// What of its answers is hidden.
    #[serde(default)]
    pub masks: Vec<RawHide>,
    /// Whether answers pass that nothing can look into, such as pictures, although detectors are set.
    #[serde(default)]
    pub opaque: bool,
    /// Whether its answers go on for as long as there is something to say, such as server-sent events.
    #[serde(default)]
    pub follows: bool,
}

/// A checked service.
#[derive(Clone, Debug)]
pub struct HttpTarget {
    pub(crate) target: RequestTarget,
    pub(crate) protocol: Arc<dyn Protocol>,
}

impl RawHttpTarget {
    /// Checks it; relative paths are taken from `folder`.
    ///
    /// # Errors
    /// With the key and the fix.
    pub fn check(&self, folder: &Path) -> Result<HttpTarget, ConfigError> {
        let name = &self.target.name;
        self.checked(folder).map_err(|problem| named(name, problem))
    }

    fn checked(&self, folder: &Path) -> Result<HttpTarget, Problem> {
        let name = self.target.name.clone();
        let reference = TargetRef { name: name.clone(), kind: TargetKind::Http, database: None };
        let mut target = self.target.check(reference, folder)?;
        self.credentials(&mut target, folder)?;
        let screen = self.target.screen()?;
        if self.routes.is_empty() {
            let fix = "name what may be asked, such as [[targets.routes]] with name = \"customer\", method = \"GET\" and path = \
                       \"/customers/{id}\"";
            return Err(("routes", fix.to_owned()));
        }
        let mut routes: Vec<Route> = Vec::new();
        for raw in &self.routes {
            let route =
                raw.check().map_err(|problem| ("routes", format!("{}: {problem}", raw.name)))?;
            let same = |it: &&Route| it.method == route.method && it.path.is_like(&route.path);
            if let Some(other) = routes.iter().find(same) {
                let problem = format!("{} and {} mean the same requests", other.name, route.name);
                return Err(("routes", problem));
            }
            if routes.iter().any(|it| it.name == route.name) {
                return Err(("routes", format!("two are named `{}`", route.name)));
            }
            routes.push(route);
        }
        let base = target.url.as_str().to_owned();
        let (asked, answered) = (fields(&self.request_fields), fields(&self.answer_fields));
        let asked = asked.map_err(|problem| ("request_fields", problem))?;
        let answered = answered.map_err(|problem| ("answer_fields", problem))?;
        let service = Service::new(name, base, routes, screen).with_fields(asked, answered);
        Ok(HttpTarget { target, protocol: Arc::new(service) })
    }

    fn credentials(&self, target: &mut RequestTarget, folder: &Path) -> Result<(), Problem> {
        let shown = &mut target.shown;
        shown.basic =
            self.basic.clone().map(|basic| (basic.user, basic.password.relative_to(folder)));
        if shown.basic.as_ref().is_some_and(|(user, _)| user.contains(':')) {
            return Err(("basic", "a user has no colon (RFC 7617 section 2)".to_owned()));
        }
        shown.oauth2 = match &self.oauth2 {
            None => None,
            Some(raw) => Some(raw.check(folder).map_err(|problem| ("oauth2", problem))?),
        };
        let ways = [shown.token.is_some(), shown.basic.is_some(), shown.oauth2.is_some()];
        if ways.into_iter().filter(|it| *it).count() > 1 {
            return Err(("token", "give one of token, basic and oauth2".to_owned()));
        }
        for (name, secret) in &self.headers {
            let known = HeaderName::try_from(name).ok().filter(|it| may_be_set(it.as_str()));
            let name = known.ok_or_else(|| {
                ("headers", format!("`{name}` is no field that can be set; use one such as x-api-key, or `token`"))
            })?;
            shown.headers.push((name, secret.clone().relative_to(folder)));
        }
        Ok(())
    }
}

impl RawRoute {
    fn check(&self) -> Result<Route, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if self.name.is_empty() || self.name.len() > 64 || !self.name.bytes().all(plain) {
            return Err("a name has 1 to 64 of A-Z, a-z, 0-9, `.`, `_` and `-`".to_owned());
        }
        if !METHODS.contains(&self.method.as_str()) {
            return Err(format!(
                "`{}` is no method; use one of {}",
                self.method,
                METHODS.join(", ")
            ));
        }
        let path: Template = self.path.parse().map_err(|error| format!("{error}"))?;
        let names: BTreeSet<&str> =
            self.query.iter().map(|it| it.strip_suffix('*').unwrap_or(it)).collect();
        if names.len() != self.query.len() || names.contains("") {
            return Err("`query` names each parameter once".to_owned());
        }
        if self.method == "GET" && !self.body.is_empty() {
            return Err("a GET takes no body (RFC 9110 section 9.3.1)".to_owned());
        }
        Ok(Route {
            name: self.name.clone(),
            method: self.method.clone(),
            path,
            query: QueryFields::new(&self.query),
            body: BodyFields::new(&self.body).map_err(|error| format!("{error}"))?,
            labels: self.labels.clone(),
            read_only: self.read_only.unwrap_or_else(|| SAFE.contains(&self.method.as_str())),
            hides: hides(&self.masks)?.into(),
            opaque: self.opaque,
            follows: self.follows,
        })
    }
}

/// What HTTP says itself, and what shows a credential or keeps a state of its own, cannot be set or passed.
fn may_be_set(name: &str) -> bool {
    const OURS: [&str; 14] = [
        "host",
        "content-length",
        "content-type",
        "accept",
        "accept-encoding",
        "connection",
        "keep-alive",
        "transfer-encoding",
        "upgrade",
        "te",
        "trailer",
        "expect",
        "range",
        "content-encoding",
    ];
    !OURS.contains(&name) && !name.starts_with("proxy-")
}

fn fields(names: &[String]) -> Result<Vec<String>, String> {
    const NEVER: [&str; 6] = [
        "authorization",
        "cookie",
        "set-cookie",
        "www-authenticate",
        "x-forwarded-host",
        "forwarded",
    ];
    for name in names {
        let is_name = HeaderName::from_lowercase(name.as_bytes()).is_ok();
        if !is_name || !may_be_set(name) || NEVER.contains(&name.as_str()) {
            return Err(format!(
                "`{name}` is no field that can pass; write one in lower case, such as x-tenant"
            ));
        }
    }
    Ok(names.to_vec())
}

#[cfg(test)]
mod tests;

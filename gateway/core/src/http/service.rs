//! A configured service: routes, each with what it takes and what of its answer is hidden.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value, json};
use tallyport_access::policy::{Action, CallArguments, Resource};
use tallyport_access::strict_json;
use tallyport_detect::Screen;
use tallyport_schemas::TargetKind;

use super::heads::is_path;
use super::{
    Asked, BodyFields, Media, Plan, QueryFields, Template, Written, bound, field, media_of,
};
use crate::json::Hide;
use crate::mcp::canonical;
use crate::passage::request::Wanted;
use crate::target::{Manner, NotTaken, Protocol, Question, Reading, passed_fields};
use crate::verdict::Facts;

/// The media type of a form.
const FORM: &str = "application/x-www-form-urlencoded";
/// What of a client's fields the service gets.
const ASKED_FIELDS: [&str; 5] =
    ["accept", "accept-language", "content-type", "if-match", "idempotency-key"];
/// What of an answer's fields the client gets.
const ANSWERED_FIELDS: [&str; 13] = [
    "content-type",
    "cache-control",
    "content-language",
    "content-disposition",
    "etag",
    "last-modified",
    "retry-after",
    "link",
    "location",
    "vary",
    "x-request-id",
    "date",
    "allow",
];

/// One route.
#[derive(Clone, Debug)]
pub struct Route {
    /// What policies call it.
    pub name: String,
    /// Its method, in upper case; `GET` is also asked by `HEAD`.
    pub method: String,
    /// Its paths.
    pub path: Template,
    /// Parameters that it takes.
    pub query: QueryFields,
    /// What it takes in a body.
    pub body: BodyFields,
    /// Labels, for policies.
    pub labels: Vec<String>,
    /// It changes nothing.
    pub read_only: bool,
    /// What of its answer is hidden.
    pub hides: Arc<[Hide]>,
    /// Bytes that nothing can look into pass.
    pub opaque: bool,
    /// Its answer goes on for as long as there is something to say.
    pub follows: bool,
}

/// A service behind the gateway.
#[derive(Debug)]
pub struct Service {
    name: String,
    /// The most precise first.
    routes: Vec<Route>,
    screen: Option<Screen>,
    /// Where it is, as answers name it: origin and path without a slash at its end.
    base: String,
    asked_fields: Vec<String>,
    answered_fields: Vec<String>,
}

impl Service {
    /// A service of these routes. `base` is what stands before every path in addresses that the service gives of itself.
    #[must_use]
    pub fn new(name: String, base: String, mut routes: Vec<Route>, screen: Option<Screen>) -> Self {
        routes.sort_by(|one, other| one.path.by_precision(&other.path));
        let owned = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        Self {
            name,
            routes,
            screen,
            base: base.trim_end_matches('/').to_owned(),
            asked_fields: owned(&ASKED_FIELDS),
            answered_fields: owned(&ANSWERED_FIELDS),
        }
    }

    /// Lets further fields pass, both ways.
    #[must_use]
    pub fn with_fields(mut self, asked: Vec<String>, answered: Vec<String>) -> Self {
        self.asked_fields.extend(asked);
        self.answered_fields.extend(answered);
        self
    }

    fn route(&self, asked: &Asked) -> Result<(&Route, Map<String, Value>), NotTaken> {
        let method = if asked.method == "HEAD" { "GET" } else { asked.method.as_str() };
        let mut others = Vec::new();
        for route in &self.routes {
            let Some(found) = route.path.matches(&asked.segments) else { continue };
            if route.method == method {
                let is_taken_for = |other: &Route| {
                    other.method == method && other.path.is_taken_for(&route.path, &asked.segments)
                };
                if self.routes.iter().any(is_taken_for) {
                    let why = "the path has the text of another route in another case, or with a suffix behind a dot: some servers take \
                               it for that one";
                    return Err(NotTaken::unreadable(why));
                }
                let found = found.into_iter().map(|(name, value)| (name.to_owned(), value.into()));
                return Ok((route, found.collect()));
            }
            others.push(route.method.as_str());
        }
        if others.is_empty() {
            let message = "this path is none of the target's routes; whoever runs the gateway lists them under targets.routes";
            return Err(NotTaken::no_route(404, message.to_owned()));
        }
        others.sort_unstable();
        others.dedup();
        Err(NotTaken::no_route(405, format!("this path is asked with {}", others.join(" or "))))
    }

    /// Reads what a route takes.
    fn taken(&self, asked: Asked) -> Result<Reading, (Box<Asked>, NotTaken)> {
        let refused = |asked: Asked, why: NotTaken| (Box::new(asked), why);
        let (route, places) = match self.route(&asked) {
            Ok(found) => found,
            Err(why) => return Err(refused(asked, why)),
        };
        let body = match body_of(&asked, route) {
            Ok(body) => body,
            Err(why) => return Err(refused(asked, why)),
        };
        let body_read = match body.as_ref().map(canonical).transpose() {
            Ok(body_read) => body_read,
            Err(why) => return Err(refused(asked, NotTaken::unreadable(why))),
        };
        if let Err(why) = route.query.check(&asked.query) {
            return Err(refused(asked, NotTaken::unreadable(why)));
        }
        let mut call = Map::new();
        call.insert("path".to_owned(), Value::Object(places));
        call.insert("query".to_owned(), Value::Object(grouped(&asked.query)));
        call.insert("body".to_owned(), body.unwrap_or_else(|| json!({})));
        let call = match CallArguments::of(&call) {
            Ok(call) => call,
            Err(why) => return Err(refused(asked, NotTaken::unreadable(why))),
        };
        // What tells whether the whole is this tells what is hidden in it, as `etag` would.
        let reads = matches!(asked.method.as_str(), "GET" | "HEAD");
        let looks = self.screen.is_some() || !route.hides.is_empty();
        let tells = |name: &&str| reads && looks && *name == "if-match";
        let names = self.asked_fields.iter().map(String::as_str);
        let names: Vec<&str> = names.filter(|name| !tells(name)).collect();
        let passed = passed_fields(&asked.fields, &names);
        let said = bound(&passed, !asked.body.is_empty());
        let form = body_read.filter(|_| media_of(&asked.fields) == FORM);
        let written = Written::of(&asked, form.as_deref(), &route.hides);
        let resource = Resource::Route {
            target: self.name.clone(),
            name: route.name.clone(),
            method: route.method.clone(),
            path: route.path.as_str().to_owned(),
            read_only: route.read_only,
            labels: route.labels.clone(),
        };
        let question = Question {
            asks: vec![(Action::HttpRequest, resource)],
            facts: Facts {
                functions: vec![format!("{}/{}", self.name, route.name)],
                labels: route.labels.clone(),
                read_only: route.read_only,
                opaque: !route.read_only,
                ..Facts::default()
            },
            call: Some(Arc::new(call)),
            statement: format!("{} {}{said}{}", asked.method, asked.target(), written.text),
            unseen_sha256: written.unseen_sha256,
            ..Question::default()
        };
        let plan = Plan {
            hides: Arc::clone(&route.hides),
            screen: self.screen.clone(),
            opaque: route.opaque,
            is_head: asked.method == "HEAD",
            ..Plan::default()
        };
        let manner = if route.follows { Manner::Follow } else { Manner::Answer };
        let wanted = Wanted::new(&asked.method, asked.target(), passed, asked.body)
            .recorded_as(written.recorded);
        Ok(Reading { question, wanted: Ok(wanted), plan, manner })
    }
}

impl Protocol for Service {
    fn kind(&self) -> TargetKind {
        TargetKind::Http
    }

    fn read(&self, asked: Asked) -> Reading {
        match self.taken(asked) {
            Ok(reading) => reading,
            Err((asked, why)) => Reading {
                question: Question {
                    asks: vec![(Action::HttpRequest, Resource::Target { name: self.name.clone() })],
                    statement: format!("{} {}", asked.method, asked.target()),
                    ..Question::default()
                },
                wanted: Err(why),
                plan: Plan::default(),
                manner: Manner::Answer,
            },
        }
    }

    fn refusal(&self, status: u16, code: &str, message: &str) -> (&'static str, String) {
        // RFC 9457; `code` and `message` as everywhere at the gateway.
        let title = "tallyport did not let this request pass";
        let body = json!({ "title": title, "status": status, "detail": message, "code": code, "message": message });
        ("application/problem+json", body.to_string())
    }

    fn passes(&self, name: &str) -> bool {
        self.answered_fields.iter().any(|it| it == name)
    }

    fn located(&self, value: &str) -> Option<String> {
        let rest = value.strip_prefix(&self.base)?;
        let path = if rest.is_empty() || rest.starts_with('?') {
            format!("/{rest}")
        } else {
            rest.to_owned()
        };
        is_path(&path).then_some(path)
    }
}

/// The body as policies see it; one that is not JSON is not taken.
fn body_of(asked: &Asked, route: &Route) -> Result<Option<Value>, NotTaken> {
    if asked.body.is_empty() {
        return Ok(None);
    }
    if !route.body.takes_some() {
        return Err(NotTaken::unreadable(super::BadField::NoBody));
    }
    let body = match Media::read(field(&asked.fields, "content-type").unwrap_or_default()) {
        Some(media) if media.is_json() => json_body(&asked.body)?,
        Some(media) if media.name == FORM => form_body(&asked.body)?,
        _ => {
            let said: String = media_of(&asked.fields).chars().take(128).collect();
            let message = format!(
                "the route takes JSON or a form (application/json, application/x-www-form-urlencoded), not `{said}`"
            );
            let rule = "tallyport:route";
            return Err(NotTaken {
                status: 415,
                code: "unsupported_media_type",
                rule,
                ..NotTaken::unreadable(message)
            });
        }
    };
    route.body.check(&body).map_err(NotTaken::unreadable)?;
    if let Some(name) = crate::json::told_twice(&body) {
        let why = format!(
            "the body has `{name}` and the same name in other letters, small or capital: some servers take one for the other"
        );
        return Err(NotTaken::unreadable(why));
    }
    Ok(Some(body))
}

fn json_body(body: &Bytes) -> Result<Value, NotTaken> {
    strict_json(body).ok_or_else(|| {
        NotTaken::unreadable(match serde_json::from_slice::<serde::de::IgnoredAny>(body) {
            Err(error) => format!("the body is not JSON (RFC 8259): {error}"),
            Ok(_) => "the body has a name twice in one object, or is nested too deeply (RFC 8259 sections 4 and 9)".to_owned(),
        })
    })
}

fn form_body(body: &Bytes) -> Result<Value, NotTaken> {
    let text =
        std::str::from_utf8(body).map_err(|_| NotTaken::unreadable("the form is not UTF-8"))?;
    if text.contains(';') {
        let why = "write `;` as %3B in a form: some servers begin another field with it";
        return Err(NotTaken::unreadable(why));
    }
    let asked = Asked::read("POST", &format!("/?{text}"), Vec::new(), Bytes::new());
    let asked = asked.map_err(NotTaken::unreadable)?;
    let fields = grouped(&asked.query);
    if fields.len() != asked.query.len() {
        return Err(NotTaken::unreadable("a field of the form stands there more than once"));
    }
    Ok(Value::Object(fields))
}

/// Parameters by name; those that repeat as a list.
fn grouped(query: &[(String, String)]) -> Map<String, Value> {
    let mut all = Map::new();
    for (name, value) in query {
        match all.get_mut(name) {
            None => {
                all.insert(name.clone(), Value::from(value.clone()));
            }
            Some(Value::Array(values)) => values.push(Value::from(value.clone())),
            Some(one) => *one = Value::from(vec![one.take(), Value::from(value.clone())]),
        }
    }
    all
}

#[cfg(test)]
mod tests;

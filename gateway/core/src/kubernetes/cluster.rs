//! A configured cluster: every request is a verb on an object.

use std::sync::Arc;

use serde_json::{Map, Value};
use tallyport_access::policy::{Action, CallArguments, ExecFacts, Resource, TooManyArguments};
use tallyport_detect::Screen;
use tallyport_schemas::TargetKind;

use super::accept::accept;
use super::hides::hides;
use super::meant::{Meant, flag, plain, streams};
use super::path::{Object, Path};
use super::status::status;
use super::writes;
use crate::http::{Asked, Fields, Plan, Written, bound, field};
use crate::masking::Mask;
use crate::passage::request::Wanted;
use crate::target::{Manner, NotTaken, Protocol, Question, Reading};
use crate::verdict::Facts;

/// What pins what a name of a pod means.
pub const POD_PIN: &str = "/metadata/uid";
/// What of an answer's fields the client gets.
const ANSWERED_FIELDS: [&str; 9] = [
    "content-type",
    "cache-control",
    "warning",
    "retry-after",
    "date",
    "vary",
    "audit-id",
    "etag",
    "last-modified",
];
/// Parameters that may stand more than once.
const REPEATS: [&str; 2] = ["command", "ports"];

/// What is hidden of some objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectHide {
    /// Their kind: the plural, with its group behind a dot where it has one: `configmaps`, `widgets.example.com`.
    pub kind: String,
    /// Places in one object.
    pub at: Vec<String>,
    /// How.
    pub mask: Mask,
}

/// A cluster behind the gateway.
#[derive(Debug)]
pub struct Cluster {
    name: String,
    screen: Option<Screen>,
    hides: Vec<ObjectHide>,
    clear_secrets: bool,
}

impl ObjectHide {
    pub(super) fn is_of(&self, object: &Object) -> bool {
        let (resource, group) = self.kind.split_once('.').unwrap_or((&self.kind, ""));
        object.resource == resource && object.api_group == group
    }
}

impl Cluster {
    /// A cluster; data of secrets is hidden unless `clear_secrets`.
    #[must_use]
    pub const fn new(
        name: String,
        screen: Option<Screen>,
        hides: Vec<ObjectHide>,
        clear_secrets: bool,
    ) -> Self {
        Self { name, screen, hides, clear_secrets }
    }

    fn meant(&self, asked: &Asked) -> Result<Meant, NotTaken> {
        let named = |name: &str| name.starts_with("impersonate-");
        if asked.fields.iter().any(|(name, _)| named(name)) {
            let why = "impersonation is not passed on; the cluster sees the gateway, and the audit who you are";
            return Err(NotTaken { status: 403, ..NotTaken::unreadable(why) });
        }
        for (place, (name, _)) in asked.query.iter().enumerate() {
            let before = asked.query.iter().take(place);
            if !REPEATS.contains(&name.as_str()) && before.into_iter().any(|(it, _)| it == name) {
                return Err(NotTaken::unreadable(format!(
                    "the parameter `{name}` stands there more than once"
                )));
            }
        }
        let path =
            Path::read(&asked.segments).map_err(|why| NotTaken::no_route(404, why.to_string()))?;
        let method = asked.method.as_str();
        let object = match path {
            Path::Object(object) => object,
            Path::Discovery if matches!(method, "GET" | "HEAD") => {
                let (verb, manner) = ("discover", Manner::Answer);
                return Ok(Meant {
                    action: Action::KubeDiscover,
                    verb,
                    object: Object::default(),
                    exec: None,
                    manner,
                    refused: None,
                });
            }
            Path::Discovery => {
                return Err(NotTaken::no_route(405, "this path is asked with GET".to_owned()));
            }
        };
        if object.is_core("pods", &object.subresource) {
            match object.subresource.as_str() {
                "exec" => return streams(asked, object, Action::KubeExec, "exec"),
                "attach" => return streams(asked, object, Action::KubeAttach, "attach"),
                "portforward" if self.screen.is_some() => {
                    let why = "what goes through a port cannot be looked into, and detectors are set for this cluster";
                    return Err(NotTaken { status: 403, ..NotTaken::unreadable(why) });
                }
                "portforward" => {
                    return streams(asked, object, Action::KubePortForward, "portForward");
                }
                "log" if matches!(method, "GET" | "HEAD") => {
                    let follows = flag(asked, "follow")?;
                    let manner = if follows { Manner::Follow } else { Manner::Answer };
                    return Ok(Meant {
                        action: Action::KubeLogs,
                        verb: "logs",
                        object,
                        exec: None,
                        manner,
                        refused: None,
                    });
                }
                _ => {}
            }
        }
        plain(asked, object)
    }

    fn taken(&self, asked: &Asked, meant: Meant) -> Reading {
        let Meant { action, verb, object, exec, manner, refused } = meant;
        let resource = self.resource(action, &object);
        let mut asks = vec![(action, resource.clone())];
        if exec.as_ref().is_some_and(|exec| exec.tty) {
            asks.push((Action::KubeTty, resource));
        }
        let read_only = matches!(
            action,
            Action::KubeDiscover
                | Action::KubeGet
                | Action::KubeList
                | Action::KubeWatch
                | Action::KubeLogs
        );
        let what = if object == Object::default() { asked.path() } else { object.kind() };
        let plan = self.plan(asked, (action, read_only), &object);
        let written = Written::of(asked, None, &plan.hides);
        let fields = self.fields(asked, action, &object);
        let said = bound(&fields, !asked.body.is_empty());
        let statement = match &exec {
            Some(exec) => run_of(asked, &object, verb, exec),
            None => format!("{} {}{said}{}", asked.method, asked.target(), written.text),
        };
        let (call, refused) = match arguments(asked) {
            Ok(call) => (Some(Arc::new(call)), refused),
            Err(why) => (None, refused.or(Some(NotTaken::unreadable(why)))),
        };
        let question = Question {
            asks,
            facts: Facts {
                functions: vec![format!("{}/{verb} {what}", self.name)],
                read_only,
                opaque: exec.is_some(),
                ..Facts::default()
            },
            call,
            statement,
            exec: exec.map(Arc::new),
            definition_sha256: None,
            unseen_sha256: written.unseen_sha256,
        };
        let refused = refused.or_else(|| writes::unclear(asked));
        let refused =
            refused.or_else(|| if plan.hides.is_empty() { None } else { writes::refused(asked) });
        let wanted = Wanted::new(&asked.method, asked.target(), fields, asked.body.clone())
            .recorded_as(written.recorded);
        let wanted = refused.map_or(Ok(wanted), Err);
        Reading { question, wanted, plan, manner }
    }

    /// What of the answer may be seen.
    fn plan(&self, asked: &Asked, (action, read_only): (Action, bool), object: &Object) -> Plan {
        let is_log = action == Action::KubeLogs;
        let hides = if is_log {
            Arc::default()
        } else {
            hides(object, read_only, &self.hides, self.clear_secrets)
        };
        Plan {
            hides,
            screen: self.screen.clone(),
            opaque: false,
            lines: action == Action::KubeWatch,
            text: is_log,
            is_head: asked.method == "HEAD",
        }
    }

    /// What goes with the request.
    fn fields(&self, asked: &Asked, action: Action, object: &Object) -> Fields {
        // A table may have a column of its own for what is hidden in the object.
        let tables = !self.hides.iter().any(|rule| rule.is_of(object));
        let accepted = match action {
            Action::KubeLogs => "*/*".to_owned(),
            _ => accept(field(&asked.fields, "accept"), tables),
        };
        let mut fields: Fields = vec![("accept".to_owned(), accepted)];
        if let Some(media) = field(&asked.fields, "content-type").filter(|_| !asked.body.is_empty())
        {
            fields.push(("content-type".to_owned(), media.to_owned()));
        }
        fields
    }

    fn resource(&self, action: Action, object: &Object) -> Resource {
        if action == Action::KubeDiscover {
            return Resource::Target { name: self.name.clone() };
        }
        let Object { api_group, resource, subresource, namespace, name } = object.clone();
        Resource::KubeObject {
            target: self.name.clone(),
            api_group,
            resource,
            subresource,
            namespace,
            name,
        }
    }
}

impl Protocol for Cluster {
    fn kind(&self) -> TargetKind {
        TargetKind::Kubernetes
    }

    fn read(&self, asked: Asked) -> Reading {
        match self.meant(&asked) {
            Ok(meant) => self.taken(&asked, meant),
            Err(why) => Reading {
                question: Question {
                    asks: vec![(
                        Action::KubeDiscover,
                        Resource::Target { name: self.name.clone() },
                    )],
                    statement: format!("{} {}", asked.method, asked.target()),
                    ..Question::default()
                },
                wanted: Err(why),
                plan: Plan::default(),
                manner: Manner::Answer,
            },
        }
    }

    fn refusal(&self, status_code: u16, _: &str, message: &str) -> (&'static str, String) {
        ("application/json", status(status_code, &format!("tallyport: {message}")).to_string())
    }

    fn passes(&self, name: &str) -> bool {
        ANSWERED_FIELDS.contains(&name)
    }

    fn located(&self, _value: &str) -> Option<String> {
        None
    }

    fn pinned_by(&self, question: &Question) -> Option<Asked> {
        let streams = |action: &Action| {
            matches!(action, Action::KubeExec | Action::KubeAttach | Action::KubePortForward)
        };
        let (_, resource) = question.asks.iter().find(|(action, _)| streams(action))?;
        let Resource::KubeObject { namespace, name, .. } = resource else { return None };
        let segments = ["api", "v1", "namespaces", namespace, "pods", name];
        Some(Asked {
            method: "GET".to_owned(),
            segments: segments.map(str::to_owned).to_vec(),
            query: Vec::new(),
            fields: vec![("accept".to_owned(), "application/json".to_owned())],
            body: bytes::Bytes::new(),
        })
    }
}

/// The parameters, as policies see them; the first of each.
fn arguments(asked: &Asked) -> Result<CallArguments, TooManyArguments> {
    let mut query = Map::new();
    for (name, value) in asked.query.iter().filter(|(name, _)| name != "command") {
        query.entry(name.clone()).or_insert_with(|| Value::from(value.clone()));
    }
    let mut all = Map::new();
    all.insert("query".to_owned(), Value::Object(query));
    CallArguments::of(&all)
}

/// What runs, or is connected to, in words.
fn run_of(asked: &Asked, object: &Object, verb: &str, exec: &ExecFacts) -> String {
    let container = if exec.container.is_empty() { "(default)" } else { &exec.container };
    let mut text = format!("{verb} {}/{} -c {container}", object.namespace, object.name);
    for (name, is_set) in [(" -i", exec.stdin), (" -t", exec.tty)] {
        text.push_str(if is_set { name } else { "" });
    }
    if verb == "portForward" && asked.parameter("ports").is_none() {
        text.push_str(" --port (any)");
    }
    for (_, port) in asked.query.iter().filter(|(name, _)| name == "ports") {
        text.push_str(" --port ");
        text.push_str(port);
    }
    if !exec.argv.is_empty() {
        text.push_str(" -- ");
        text.push_str(&exec.argv_text());
    }
    text
}

#[cfg(test)]
mod tests;

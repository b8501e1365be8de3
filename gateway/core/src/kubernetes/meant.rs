//! What a request does: a verb on an object, or a program in a container.

use tallyport_access::policy::{Action, ExecFacts};

use super::path::Object;
use super::streams::SUBPROTOCOLS;
use crate::http::{Asked, field};
use crate::target::{Manner, NotTaken, StreamPlan};

/// The subprotocols of what goes to a port.
const PORT_PROTOCOLS: [&str; 2] = ["SPDY/3.1+portforward.k8s.io", "v4.channel.k8s.io"];
/// That of ports that the request names: in the other one they are named inside, and what the request says counts for nothing.
const NAMED_PORTS: [&str; 1] = ["v4.channel.k8s.io"];
/// What a request does.
pub(super) struct Meant {
    pub(super) action: Action,
    pub(super) verb: &'static str,
    pub(super) object: Object,
    pub(super) exec: Option<ExecFacts>,
    pub(super) manner: Manner,
    /// Why nothing of it passes, whatever policy says.
    pub(super) refused: Option<NotTaken>,
}

/// What becomes a connection of streams.
pub(super) fn streams(
    asked: &Asked,
    object: Object,
    action: Action,
    verb: &'static str,
) -> Result<Meant, NotTaken> {
    if object.name.is_empty() {
        return Err(NotTaken::no_route(404, "name a pod".to_owned()));
    }
    let given = |name: &str| asked.parameter(name).unwrap_or_default().to_owned();
    let argv =
        asked.query.iter().filter(|(name, _)| name == "command").map(|(_, value)| value.clone());
    let argv: Vec<String> = argv.collect();
    if action == Action::KubeExec && argv.is_empty() {
        return Err(NotTaken::unreadable("name what is to run, as `command` parameters"));
    }
    let exec = ExecFacts {
        container: given("container"),
        argv: if action == Action::KubeExec { argv } else { Vec::new() },
        stdin: flag(asked, "stdin")?,
        tty: flag(asked, "tty")?,
    };
    flag(asked, "stdout")?;
    flag(asked, "stderr")?;
    let raw = action == Action::KubePortForward;
    let (protocols, refused) = match protocols(asked, raw) {
        Ok(protocols) => (protocols, None),
        Err(why) => (String::new(), Some(why)),
    };
    let plan = StreamPlan { stdin: exec.stdin, tty: exec.tty, raw, protocols };
    Ok(Meant { action, verb, object, exec: Some(exec), manner: Manner::Streams(plan), refused })
}

/// The subprotocols that are spoken; or why it cannot be these streams. What policy says of it is told before that: clients try
/// one way after another, and show people what the last one told.
fn protocols(asked: &Asked, raw: bool) -> Result<String, NotTaken> {
    let upgrade = field(&asked.fields, "upgrade");
    if asked.method != "GET" || !upgrade.is_some_and(|it| it.eq_ignore_ascii_case("websocket")) {
        let why = "open it as a WebSocket (RFC 6455): GET with `Upgrade: websocket`; kubectl does so by default since 1.31, and before \
                   with KUBECTL_REMOTE_COMMAND_WEBSOCKETS=true";
        let code = "websocket_required";
        return Err(NotTaken { code, after_policy: true, ..NotTaken::unreadable(why) });
    }
    let known: &[&str] = match raw {
        true if asked.parameter("ports").is_some() => &NAMED_PORTS,
        true => &PORT_PROTOCOLS,
        false => &SUBPROTOCOLS,
    };
    let wished = field(&asked.fields, "sec-websocket-protocol").unwrap_or_default();
    let spoken: Vec<&str> =
        wished.split(',').map(str::trim).filter(|it| known.contains(it)).collect();
    if spoken.is_empty() || field(&asked.fields, "sec-websocket-key").is_none() {
        let why = format!(
            "open it with Sec-WebSocket-Key, and one of {} as Sec-WebSocket-Protocol",
            known.join(", ")
        );
        return Err(NotTaken { after_policy: true, ..NotTaken::unreadable(why) });
    }
    Ok(spoken.join(", "))
}

/// A verb on an object or objects.
pub(super) fn plain(asked: &Asked, object: Object) -> Result<Meant, NotTaken> {
    let watches = flag(asked, "watch")?;
    let is_one = !object.name.is_empty();
    let (action, verb) = match (asked.method.as_str(), is_one, watches) {
        ("GET" | "HEAD", true, true) => {
            return Err(NotTaken::unreadable(
                "one object is watched by a field selector: fieldSelector=metadata.name=NAME",
            ));
        }
        ("GET" | "HEAD", true, false) => (Action::KubeGet, "get"),
        ("GET" | "HEAD", false, false) => (Action::KubeList, "list"),
        ("GET", false, true) => (Action::KubeWatch, "watch"),
        ("POST", ..) => (Action::KubeCreate, "create"),
        ("PUT", true, _) => (Action::KubeUpdate, "update"),
        ("PATCH", true, _) => (Action::KubePatch, "patch"),
        ("DELETE", true, _) => (Action::KubeDelete, "delete"),
        ("DELETE", false, _) => (Action::KubeDeleteCollection, "deleteCollection"),
        _ => return Err(NotTaken::no_route(405, "this path does not take that method".to_owned())),
    };
    let manner = if action == Action::KubeWatch { Manner::Follow } else { Manner::Answer };
    Ok(Meant { action, verb, object, exec: None, manner, refused: None })
}

/// A parameter that is yes or no; readers differ in other words for it.
pub(super) fn flag(asked: &Asked, name: &str) -> Result<bool, NotTaken> {
    match asked.parameter(name) {
        None | Some("false" | "0") => Ok(false),
        Some("true" | "1") => Ok(true),
        Some(_) => Err(NotTaken::unreadable(format!("write `{name}` as true or false"))),
    }
}

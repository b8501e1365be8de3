//! What policy says of what is asked of an MCP server.

use tallyport_access::policy::{Action, AskContext, Asker, Resource};
use tallyport_schemas::{CommandId, Decision, Effect, Recording};

use super::ask::ask;
use super::judge::decision;
use super::question::without_rows;
use super::{Facts, Ruling, Verdict};

/// What is asked of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerQuestion<'a> {
    /// To use it at all.
    Use,
    /// To call a tool.
    Call(&'a ToolFacts),
    /// To read this resource; to see which there are, where absent.
    Read(Option<&'a str>),
    /// To get this prompt; to see which there are, where absent.
    Prompt(Option<&'a str>),
}

/// What a pinned definition says of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolFacts {
    /// As the server calls it.
    pub name: String,
    /// It changes nothing.
    pub read_only: bool,
    /// What it changes may be lost.
    pub destructive: bool,
    /// It reaches beyond what the server itself holds.
    pub open_world: bool,
    /// The labels that the configuration gives it.
    pub labels: Vec<String>,
}

/// Whether somebody may ask this of `server`: they must be let use it, whatever they ask.
pub fn judge_call(
    asker: &Asker,
    server: &str,
    question: &ServerQuestion<'_>,
    context: &AskContext,
    recording: Recording,
    command_id: Option<CommandId>,
) -> Verdict {
    let mut ruling = Ruling::default();
    let the_server = || Resource::Target { name: server.to_owned() };
    ask(asker, context, Action::McpConnect, &the_server(), server, &mut ruling);
    let asked = match question {
        ServerQuestion::Use => None,
        ServerQuestion::Call(tool) => Some((Action::McpCall, of_tool(server, tool))),
        ServerQuestion::Read(None) => Some((Action::McpRead, the_server())),
        ServerQuestion::Read(Some(uri)) => {
            let (target, uri) = (server.to_owned(), (*uri).to_owned());
            Some((Action::McpRead, Resource::McpResource { target, uri }))
        }
        ServerQuestion::Prompt(None) => Some((Action::McpPrompt, the_server())),
        ServerQuestion::Prompt(Some(name)) => {
            let (target, name) = (server.to_owned(), (*name).to_owned());
            Some((Action::McpPrompt, Resource::Prompt { target, name }))
        }
    };
    if let Some((action, resource)) = asked {
        ask(asker, context, action, &resource, &resource.to_string(), &mut ruling);
    }
    without_rows(ruling, asker, facts(server, question), recording, command_id)
}

/// The rule that people alone say what a tool may become, as decisions name it.
const REVIEWER_RULE: &str = "tallyport:reviewer";

/// Whether somebody may see how the tools of `server` stand to their pins; with a tool, whether they may accept this definition
/// of it, which only a person may (`is_person`), whatever policy says.
#[must_use]
pub fn judge_accept(
    asker: &Asker,
    server: &str,
    tool: Option<&ToolFacts>,
    is_person: bool,
    context: &AskContext,
) -> Decision {
    let mut ruling = Ruling::default();
    let resource = match tool {
        Some(tool) => of_tool(server, tool),
        None => Resource::Target { name: server.to_owned() },
    };
    ask(asker, context, Action::McpAccept, &resource, &resource.to_string(), &mut ruling);
    let mut decision = decision(ruling, asker, None);
    // A demand for an approval is refused when policies are loaded: nothing waits here.
    if decision.effect == Effect::Pause {
        decision.effect = Effect::Deny;
    }
    if tool.is_some() && !is_person {
        decision.effect = Effect::Deny;
        decision.policy_ids = vec![REVIEWER_RULE.to_owned()];
        decision.obligations.clear();
        decision.reasons = vec![NOT_A_PERSON.to_owned()];
    }
    decision
}

/// Why nobody else may.
pub const NOT_A_PERSON: &str = "only a human may accept a definition; sign in as yourself, not as an agent or a service, and for nobody else";

fn of_tool(server: &str, tool: &ToolFacts) -> Resource {
    Resource::Tool {
        target: server.to_owned(),
        name: tool.name.clone(),
        read_only: tool.read_only,
        destructive: tool.destructive,
        open_world: tool.open_world,
        labels: tool.labels.clone(),
    }
}

/// What a tool does cannot be seen, only what its definition says of it.
fn facts(server: &str, question: &ServerQuestion<'_>) -> Facts {
    match question {
        ServerQuestion::Call(tool) => Facts {
            functions: vec![format!("{server}/{}", tool.name)],
            labels: tool.labels.clone(),
            read_only: tool.read_only,
            opaque: true,
            ..Facts::default()
        },
        ServerQuestion::Use | ServerQuestion::Read(_) | ServerQuestion::Prompt(_) => {
            Facts { read_only: true, ..Facts::default() }
        }
    }
}

//! What policy says of who may accept the definition of a tool.

use tallyport_access::policy::{Action, AskContext, Asker, Resource};
use tallyport_schemas::{Decision, Effect};

use super::Ruling;
use super::ask::ask;
use super::judge::decision;
use crate::mcp::ToolFacts;

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
        Some(tool) => tool.at(server),
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

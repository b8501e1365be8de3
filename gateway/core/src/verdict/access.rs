//! What policy says of ending access, and of giving it back.

use tallyport_access::policy::{Action, AskContext, Asker, Resource};
use tallyport_schemas::Decision;

use super::Ruling;
use super::ask::ask;
use super::judge::decision;

/// Whether the principal may do `action` to a kind of access, such as `session`.
#[must_use]
pub fn access(asker: &Asker, action: Action, kind: &str, context: &AskContext) -> Decision {
    let mut ruling = Ruling::default();
    let resource = Resource::AccessKind { name: kind.to_owned() };
    ask(asker, context, action, &resource, kind, &mut ruling);
    // A demand for an approval is refused when policies are loaded: nothing waits here.
    if let Some(demand) = ruling.approval.take() {
        ruling.deny(format!("policy demands {demand} for {action}, which is not available"));
    }
    decision(ruling, asker, None)
}

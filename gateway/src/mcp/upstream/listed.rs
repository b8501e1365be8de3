//! Lists, as somebody may see them.

use gateway_core::mcp::ServerQuestion;
use gateway_core::mcp::reply::Listed;
use serde_json::Value;

use super::definitions::Look;
use super::question::Admitted;

/// The tools that somebody may call.
pub(super) fn tools(admitted: &Admitted, look: &Look) -> Vec<Value> {
    let in_use = look.in_use(&admitted.inner, &admitted.upstream);
    let may = in_use.into_iter().filter(|it| admitted.may(&ServerQuestion::Call(&it.facts)));
    may.map(|it| it.defined.clone()).collect()
}

/// Takes out of an answer to a list what somebody may not have.
pub(super) fn retain(admitted: &Admitted, kind: Listed, message: &mut Value) {
    let (member, named_by) = match kind {
        Listed::Prompts => ("prompts", "name"),
        Listed::Resources => ("resources", "uri"),
        Listed::Templates => ("resourceTemplates", "uriTemplate"),
        Listed::Tools => return,
    };
    let list = message.get_mut("result").and_then(|it| it.get_mut(member));
    let Some(list) = list.and_then(Value::as_array_mut) else { return };
    list.retain(|item| {
        let Some(name) = item.get(named_by).and_then(Value::as_str) else { return false };
        admitted.may(&match kind {
            Listed::Prompts => ServerQuestion::Prompt(Some(name)),
            _ => ServerQuestion::Read(Some(name)),
        })
    });
}

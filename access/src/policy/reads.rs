//! What of the context policies look at. The answers of those that do not look at the time hold until something else
//! changes; what nobody looks at is not made.

use cedar_policy::Policy;
use serde_json::Value;

use super::vocabulary::ARGUMENTS;

/// The attribute of the context that differs from question to question.
const TIME: &[&str] = &["now"];
/// The attributes that may be long.
const COLUMNS: &[&str] = &["columns", "labels"];

/// The attribute that is another in each session.
const SESSION: &[&str] = &["sessionId"];

/// The arguments of a call.
const CALL: &[&str] = &["call"];

/// Whether `policy` may look at the time of the question. In doubt it does.
pub(super) fn the_time(policy: &Policy) -> bool {
    looks(policy, TIME)
}

/// Whether `policy` may look at the columns that a command names, or at their labels. In doubt it does.
pub(super) fn the_columns(policy: &Policy) -> bool {
    looks(policy, COLUMNS)
}

/// Whether `policy` may look at the session. In doubt it does.
pub(super) fn the_session(policy: &Policy) -> bool {
    looks(policy, SESSION)
}

/// Whether `policy` may look at the arguments of a call, by the context or by the name of their entity. In doubt it does.
pub(super) fn the_call(policy: &Policy) -> bool {
    let named = || policy.entity_literals();
    looks(policy, CALL) || named().iter().any(|uid| uid.type_name().basename() == ARGUMENTS)
}

fn looks(policy: &Policy, attributes: &[&str]) -> bool {
    // The JSON form has every name as it is meant, however the text spells it.
    policy.to_json().map_or(true, |json| looks_at(&json, attributes))
}

/// The context is looked at by attribute (`context.readOnly`, `context has approvals`); on its own, as in a
/// comparison, it is looked at whole.
fn looks_at(node: &Value, attributes: &[&str]) -> bool {
    match node {
        Value::Object(fields) => fields.iter().any(|(operator, operands)| {
            match operands.as_object().filter(|_| matches!(operator.as_str(), "." | "has")) {
                Some(access) if access.get("left").is_some_and(is_context) => access
                    .get("attr")
                    .and_then(Value::as_str)
                    .is_none_or(|attr| attributes.contains(&attr)),
                _ => (operator == "Var" && operands == "context") || looks_at(operands, attributes),
            }
        }),
        Value::Array(nodes) => nodes.iter().any(|node| looks_at(node, attributes)),
        _ => false,
    }
}

fn is_context(node: &Value) -> bool {
    node.get("Var").is_some_and(|name| name == "context")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(condition: &str) -> bool {
        let text = format!("permit (principal, action, resource) when {{ {condition} }};");
        the_time(&Policy::parse(None, text).unwrap())
    }

    #[test]
    fn the_session_is_found() {
        let reads = |condition: &str| {
            let text = format!("permit (principal, action, resource) when {{ {condition} }};");
            the_session(&Policy::parse(None, text).unwrap())
        };
        assert!(reads(r#"context has sessionId && context.sessionId == "x""#));
        assert!(reads("context == principal.facts"));
        assert!(!reads("context.readOnly"));
    }

    #[test]
    fn the_time_is_found_however_it_is_spelled() {
        for condition in [
            r#"context.now > datetime("2026-01-01")"#,
            r#"context["now"] > datetime("2026-01-01")"#,
            r#"context["n\u{6f}w"] > datetime("2026-01-01")"#,
            "context has now",
            r#"context has "now""#,
            "context == principal.facts",
            "[context].contains(principal.facts)",
            "(if principal.admin then context else context).readOnly",
            r#"context.readOnly && !(resource.open || context.now < datetime("2026-01-01"))"#,
        ] {
            assert!(looks(condition), "{condition}");
        }
    }

    #[test]
    fn columns_and_labels_are_found() {
        let looks = |condition: &str| {
            let text = format!("permit (principal, action, resource) when {{ {condition} }};");
            the_columns(&Policy::parse(None, text).unwrap())
        };
        assert!(looks(r#"context.labels.contains("pii")"#));
        assert!(looks(r#"context["columns"].containsAny(["a.b.c"])"#));
        assert!(!looks("context.byKey && context has estimatedRows"));
    }

    #[test]
    fn arguments_are_found() {
        let looks = |condition: &str| {
            let text = format!("permit (principal, action, resource) when {{ {condition} }};");
            the_call(&Policy::parse(None, text).unwrap())
        };
        assert!(looks(r#"context has call && context.call.hasTag("/repo")"#));
        assert!(looks("context has call"));
        assert!(looks(r#"context["c\u{61}ll"].getTag("/repo") like "acme/*""#));
        assert!(looks(r#"Tallyport::Arguments::"call".hasTag("/repo")"#));
        assert!(looks("principal.facts == context"));
        assert!(!looks("context.readOnly && resource.readOnly && principal has call"));
    }

    #[test]
    fn other_facts_are_not_the_time() {
        for condition in [
            "context.readOnly && !context.opaque",
            "context has sourceIp && context.sourceIp.isInRange(ip(\"10.0.0.0/8\"))",
            "principal.now == \"now\" && resource has now",
            "true",
        ] {
            assert!(!looks(condition), "{condition}");
        }
    }
}

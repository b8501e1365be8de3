//! What may be written above a policy, and what of it binds.
//!
//! Cedar itself ignores annotations that it does not know. Here every key and every value is checked when the
//! policies are loaded: a misspelt obligation is an error, never a permit without its obligation.

use cedar_policy::{ActionConstraint, Effect, Policy};

use super::{Action, ApprovalDemand, GrantDemand};

/// An annotation that binds: its kind and its value, as written.
pub(super) type Binding = (String, String);

/// Keys that are understood.
const KEYS: &str =
    "id, mask, row_limit, record, require_approval, require_grant, interactive, advice";
/// Keys whose meaning is settled but not enforced by this version: taking them would let pass what should not.
const NOT_YET: [(&str, &str); 1] =
    [("ttl", "time limits of sessions by policy are not available in this version")];
/// Groups of actions that are all of statements.
const WAITING_GROUPS: [&str; 4] = ["sql:write", "sql:session", "k8s:read", "k8s:write"];
/// Groups of what has no rows.
const GROUPS_WITHOUT_ROWS: [&str; 5] = ["mcp:any", "http:any", "k8s:any", "k8s:read", "k8s:write"];
const MAX_ID_BYTES: usize = 128;
const MAX_ADVICE_BYTES: usize = 500;
/// The most characters a partial mask may show.
const MAX_PARTIAL_CHARACTERS: u8 = 64;

/// What the annotations of one policy come to, or what is wrong with them.
pub(super) fn check(policy: &Policy) -> Result<Vec<Binding>, Vec<String>> {
    let mut bindings = Vec::new();
    let mut problems = Vec::new();
    for (key, value) in policy.annotations() {
        match check_one(policy, key, value) {
            Ok(true) => bindings.push((key.to_owned(), value.to_owned())),
            Ok(false) => {}
            Err(problem) => problems.push(problem),
        }
    }
    bindings.sort_unstable();
    if problems.is_empty() { Ok(bindings) } else { Err(problems) }
}

/// Whether the annotation binds.
fn check_one(policy: &Policy, key: &str, value: &str) -> Result<bool, String> {
    if let Some((_, why)) = NOT_YET.iter().find(|(name, _)| *name == key) {
        return Err(format!("@{key}: {why}; remove it, and forbid what would need it"));
    }
    match key {
        "id" => check_id(value).map(|()| false),
        "advice" => check_advice(value).map(|()| true),
        "mask" => on_permit(policy, key)
            .and_then(|()| only_masked_reads(policy))
            .and_then(|()| check_mask(value))
            .map(|()| true),
        "row_limit" => on_permit(policy, key)
            .and_then(|()| only_statements_have_rows(policy))
            .and_then(|()| check_row_limit(value))
            .map(|()| true),
        "record" => on_permit(policy, key).and_then(|()| check_record(value)).map(|()| true),
        "require_approval" => on_permit(policy, key)
            .and_then(|()| only_statements(policy))
            .and_then(|()| {
                ApprovalDemand::parse(value).map_err(|error| {
                    format!("@require_approval(\"{}\"): {error}", shortened(value))
                })
            })
            .map(|_| true),
        "interactive" => on_permit(policy, key).and_then(|()| only_interactive(policy)).and_then(
            |()| match value {
                "allow" => Ok(true),
                other => Err(format!(
                    "@interactive(\"{}\"): write @interactive(\"allow\")",
                    shortened(other)
                )),
            },
        ),
        "require_grant" => on_permit(policy, key)
            .and_then(|()| only_connects(policy))
            .and_then(|()| {
                GrantDemand::parse(value)
                    .map_err(|error| format!("@require_grant(\"{}\"): {error}", shortened(value)))
            })
            .map(|_| true),
        other => Err(format!("@{other} is not an annotation; use one of {KEYS}")),
    }
}

fn on_permit(policy: &Policy, key: &str) -> Result<(), String> {
    match policy.effect() {
        Effect::Permit => Ok(()),
        Effect::Forbid => Err(format!(
            "@{key} has no effect on a forbid; write it on the permit that it is to limit"
        )),
    }
}

/// A mask on a policy that permits more than masked reading would look like a mask and be none.
fn only_masked_reads(policy: &Policy) -> Result<(), String> {
    let masked =
        |uid: &cedar_policy::EntityUid| uid.id().unescaped() == Action::ColReadMasked.as_str();
    let only = match policy.action_constraint() {
        ActionConstraint::Any => false,
        ActionConstraint::Eq(uid) => masked(&uid),
        ActionConstraint::In(uids) => uids.iter().all(masked),
    };
    if only {
        Ok(())
    } else {
        Err("@mask applies to `col:readMasked` alone; write `action == \
             Tallyport::Action::\"col:readMasked\"` and permit the rest in a policy of its own"
            .to_owned())
    }
}

/// Only a statement or a call can wait. A permit of anything else, such as opening a session or reading a column in clear, would
/// look as if it waited for an approval and would not.
fn only_statements(policy: &Policy) -> Result<(), String> {
    let waits = |uid: &cedar_policy::EntityUid| {
        let id = uid.id().unescaped();
        Action::named(id).map_or_else(|| WAITING_GROUPS.contains(&id), Action::can_wait)
    };
    let only = match policy.action_constraint() {
        ActionConstraint::Any => false,
        ActionConstraint::Eq(uid) => waits(&uid),
        ActionConstraint::In(uids) => uids.iter().all(waits),
    };
    if only {
        Ok(())
    } else {
        Err("@require_approval applies to statements, calls of tools and requests; name their actions, such as `action \
             == Tallyport::Action::\"sql:delete\"`, `action in [Tallyport::Action::\"sql:write\"]` or `action == \
             Tallyport::Action::\"mcp:call\"`, and permit what connects, the col:, the audit: and the other mcp: \
             actions in policies of their own"
            .to_owned())
    }
}

/// On a permit of anything else it would look as if that, too, were interactive.
fn only_interactive(policy: &Policy) -> Result<(), String> {
    let interactive = |uid: &cedar_policy::EntityUid| {
        Action::named(uid.id().unescaped()).is_some_and(Action::is_interactive)
    };
    let only = match policy.action_constraint() {
        ActionConstraint::Any => false,
        ActionConstraint::Eq(uid) => interactive(&uid),
        ActionConstraint::In(uids) => uids.iter().all(interactive),
    };
    if only {
        Ok(())
    } else {
        Err("@interactive applies to `k8s:tty`, `k8s:attach` and `k8s:portForward` alone; name them, and permit the rest in a \
             policy of its own"
            .to_owned())
    }
}

/// Only a session is opened under a grant: on a permit of anything more it would look as if that, too, needed one.
fn only_connects(policy: &Policy) -> Result<(), String> {
    let connects = |uid: &cedar_policy::EntityUid| {
        Action::named(uid.id().unescaped()).is_some_and(Action::opens)
    };
    let only = match policy.action_constraint() {
        ActionConstraint::Any => false,
        ActionConstraint::Eq(uid) => connects(&uid),
        ActionConstraint::In(uids) => uids.iter().all(connects),
    };
    if only {
        Ok(())
    } else {
        Err("@require_grant applies to `sql:connect`, `mcp:connect`, `http:connect` and `k8s:connect` alone; write `action == \
             Tallyport::Action::\"sql:connect\"` and permit the rest in a policy of its own"
            .to_owned())
    }
}

/// An answer of a tool or a service has no rows: a limit of them would look as if it limited something.
fn only_statements_have_rows(policy: &Policy) -> Result<(), String> {
    let without = |uid: &cedar_policy::EntityUid| {
        let id = uid.id().unescaped();
        GROUPS_WITHOUT_ROWS.contains(&id) || Action::named(id).is_some_and(|it| !it.has_rows())
    };
    let named = match policy.action_constraint() {
        ActionConstraint::Any => false,
        ActionConstraint::Eq(uid) => without(&uid),
        ActionConstraint::In(uids) => uids.iter().any(without),
    };
    if named {
        Err("@row_limit applies to statements; permit the mcp:, http: and k8s: actions in policies of their own"
            .to_owned())
    } else {
        Ok(())
    }
}

fn check_id(value: &str) -> Result<(), String> {
    let fits = !value.is_empty() && value.len() <= MAX_ID_BYTES;
    if fits && value.chars().all(|c| !c.is_control()) {
        Ok(())
    } else {
        Err(format!("@id needs 1 to {MAX_ID_BYTES} bytes without control characters"))
    }
}

fn check_advice(value: &str) -> Result<(), String> {
    let fits = !value.is_empty() && value.len() <= MAX_ADVICE_BYTES;
    if fits && value.chars().all(|c| !c.is_control()) {
        Ok(())
    } else {
        Err(format!("@advice needs 1 to {MAX_ADVICE_BYTES} bytes without control characters"))
    }
}

fn check_mask(value: &str) -> Result<(), String> {
    let shown = value
        .strip_prefix("partial:")
        .and_then(|rest| rest.strip_prefix("first").or_else(|| rest.strip_prefix("last")));
    let fits = match shown {
        Some(digits) => {
            is_plain_number(digits)
                && digits.parse::<u8>().is_ok_and(|n| (1..=MAX_PARTIAL_CHARACTERS).contains(&n))
        }
        None => value == "redact" || value == "hash",
    };
    if fits {
        Ok(())
    } else {
        Err(format!(
            "@mask(\"{}\") is not a mask; use redact, hash, partial:firstN or partial:lastN with N \
             from 1 to {MAX_PARTIAL_CHARACTERS}",
            shortened(value)
        ))
    }
}

fn check_row_limit(value: &str) -> Result<(), String> {
    let fits = is_plain_number(value)
        && value.parse::<u64>().is_ok_and(|rows| rows >= 1 && i64::try_from(rows).is_ok());
    if fits {
        Ok(())
    } else {
        Err(format!("@row_limit(\"{}\") needs a whole number from 1 up", shortened(value)))
    }
}

fn check_record(value: &str) -> Result<(), String> {
    let head = value.strip_prefix("head:");
    let fits = match head {
        Some(rows) => is_plain_number(rows) && rows.parse::<u64>().is_ok(),
        None => value == "full" || value == "digest",
    };
    if fits {
        Ok(())
    } else {
        Err(format!("@record(\"{}\") needs full, digest or head:N with N rows", shortened(value)))
    }
}

/// Digits only: `parse` alone would take a sign.
fn is_plain_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn shortened(value: &str) -> String {
    value.chars().filter(|c| !c.is_control()).take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicySet;

    /// The schema says what is in a group; here it is said again which groups are of statements alone.
    #[test]
    fn the_groups_that_may_wait_hold_nothing_that_cannot() {
        for group in WAITING_GROUPS {
            let text = format!(
                "@id(\"p\") @require_approval(\"1 of dba\") permit(principal, action in Tallyport::Action::\"{group}\", resource);"
            );
            let set = PolicySet::parse(&text, "p.cedar").unwrap();
            let covered: Vec<Action> = Action::ALL
                .into_iter()
                .filter(|action| set.on(*action).is_some_and(|on| !on.is_empty()))
                .collect();
            assert!(
                covered.len() > 2 && covered.iter().all(|action| action.can_wait()),
                "{covered:?}"
            );
        }
    }

    #[test]
    fn only_a_session_is_opened_under_a_grant() {
        let on = |action: &str| format!("(principal, {action}, resource);");
        let connect = on("action == Tallyport::Action::\"sql:connect\"");
        let both =
            on("action in [Tallyport::Action::\"sql:connect\", Tallyport::Action::\"sql:select\"]");
        let good = format!("@id(\"p\") @require_grant(\"1 of dba; for 1h\") permit{connect}");
        assert!(PolicySet::parse(&good, "p.cedar").is_ok());
        let server = on("action == Tallyport::Action::\"mcp:connect\"");
        let good = format!("@id(\"p\") @require_grant(\"1 of dba; for 1h\") permit{server}");
        assert!(PolicySet::parse(&good, "p.cedar").is_ok());
        let alone = "@require_grant applies to `sql:connect`, `mcp:connect`, `http:connect` and `k8s:connect` alone";
        for (text, why) in [
            (format!("@require_grant(\"nobody\") permit{}", on("action")), alone),
            (format!("@require_grant(\"1 of dba\") permit{both}"), alone),
            (
                format!(
                    "@require_grant(\"1 of dba\") permit{}",
                    on("action == Tallyport::Action::\"mcp:call\"")
                ),
                alone,
            ),
            (format!("@require_grant(\"dba\") permit{connect}"), "write it as \"1 of dba\""),
            (format!("@require_grant(\"nobody\") forbid{connect}"), "has no effect on a forbid"),
            (
                format!(
                    "@require_approval(\"1 of dba\") permit{}",
                    on("action == Tallyport::Action::\"access:revoke\"")
                ),
                "name their actions",
            ),
        ] {
            let error = PolicySet::parse(&text, "p.cedar").unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}

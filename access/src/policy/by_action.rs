//! Which policies can have a say on which action.
//!
//! A policy whose scope leaves an action out neither permits nor forbids it, and its conditions are not evaluated for
//! it, so it cannot fail either. Leaving it out changes no answer and saves its evaluation at every question.

use std::collections::HashMap;

use cedar_policy::{ActionConstraint, Entities, EntityUid, Policy, PolicySet};

use super::vocabulary::Vocabulary;
use super::{Action, PolicyError};

#[derive(Debug)]
pub(super) struct ByAction(pub(super) HashMap<Action, PolicySet>);

impl ByAction {
    pub(super) fn of(all: &PolicySet, vocabulary: &Vocabulary) -> Result<Self, PolicyError> {
        let broken = |error: String| PolicyError::Vocabulary(error);
        let hierarchy =
            vocabulary.schema.action_entities().map_err(|error| broken(error.to_string()))?;
        let mut found = HashMap::new();
        for action in Action::ALL {
            let uid = vocabulary
                .action(action)
                .ok_or_else(|| broken(format!("`{action}` is missing")))?;
            let fitting = all.policies().filter(|policy| covers(policy, &uid, &hierarchy)).cloned();
            let set =
                PolicySet::from_policies(fitting).map_err(|error| broken(error.to_string()))?;
            found.insert(action, set);
        }
        Ok(Self(found))
    }
}

/// Whether the policy's scope lets `action` in.
fn covers(policy: &Policy, action: &EntityUid, hierarchy: &Entities) -> bool {
    match policy.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(only) => only == *action,
        ActionConstraint::In(groups) => {
            groups.iter().any(|group| group == action || hierarchy.is_ancestor_of(group, action))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::PolicySet as Checked;

    fn ids(set: &Checked, action: Action) -> Vec<String> {
        let mut ids: Vec<String> = set.on(action).policies().map(|p| p.id().to_string()).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn every_way_to_name_an_action_is_found() {
        let text = r#"
            @id("any") permit(principal, action, resource);
            @id("one") permit(principal, action == Tallyport::Action::"sql:select", resource);
            @id("list") permit(principal, action in [Tallyport::Action::"sql:select", Tallyport::Action::"col:read"], resource);
            @id("group") permit(principal, action in Tallyport::Action::"sql:write", resource);
            @id("above") forbid(principal, action in [Tallyport::Action::"sql:any"], resource);
            @id("when") forbid(principal, action, resource) when { action == Tallyport::Action::"audit:raw" };
        "#;
        let set = Checked::parse(text, "p.cedar").unwrap();
        assert_eq!(ids(&set, Action::Select), ["above", "any", "list", "one", "when"]);
        assert_eq!(ids(&set, Action::Insert), ["above", "any", "group", "when"]);
        assert_eq!(ids(&set, Action::FnCall), ["above", "any", "when"]);
        assert_eq!(ids(&set, Action::ColRead), ["any", "list", "when"]);
        assert_eq!(ids(&set, Action::AuditRaw), ["any", "when"]);
    }
}

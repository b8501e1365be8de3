//! Which policies can have a say on which question.
//!
//! A policy whose scope leaves a question's action, principal or resource out neither permits nor forbids it, and its
//! conditions are not evaluated for it, so it cannot fail either. Leaving it out changes no answer and saves its evaluation:
//! of a thousand policies most are for others.

use cedar_policy::{
    ActionConstraint, Entities, EntityTypeName, EntityUid, Policy, PolicySet, PrincipalConstraint,
    ResourceConstraint,
};
use std::collections::{HashMap, HashSet};

use super::vocabulary::Vocabulary;
use super::{Action, PolicyError};

/// All policies, by action.
#[derive(Debug)]
pub(super) struct ByScope(HashMap<Action, OnAction>);

/// Those of one action.
#[derive(Debug, Default)]
pub(super) struct OnAction {
    policies: Vec<Scoped>,
    /// The numbers of those that are for one principal, or for all in one group or of one issuer, by that.
    of_some: HashMap<EntityUid, Vec<usize>>,
    /// Of the others.
    of_all: Vec<usize>,
}

/// A policy and whom and what it is for.
#[derive(Clone, Debug)]
struct Scoped {
    policy: Policy,
    principal: Wanted,
    resource: Wanted,
}

/// What a scope wants of an entity.
#[derive(Clone, Debug)]
enum Wanted {
    Any,
    Exactly(EntityUid),
    Below(EntityUid),
    Of(EntityTypeName),
    OfBelow(EntityTypeName, EntityUid),
}

/// An entity of a question, with all that it is in.
#[derive(Debug)]
pub(super) struct Place {
    uid: EntityUid,
    above: HashSet<EntityUid>,
}

impl ByScope {
    pub(super) fn of(all: &PolicySet, vocabulary: &Vocabulary) -> Result<Self, PolicyError> {
        let broken = |error: String| PolicyError::Vocabulary(error);
        let hierarchy =
            vocabulary.schema.action_entities().map_err(|error| broken(error.to_string()))?;
        let mut found = HashMap::new();
        for action in Action::ALL {
            let uid = vocabulary
                .action(action)
                .ok_or_else(|| broken(format!("`{action}` is missing")))?;
            let fitting = all.policies().filter(|policy| covers(policy, &uid, &hierarchy));
            found.insert(action, OnAction::of(fitting));
        }
        Ok(Self(found))
    }

    /// The policies that can have a say on `action`.
    pub(super) fn on(&self, action: Action) -> Option<&OnAction> {
        self.0.get(&action)
    }
}

impl OnAction {
    fn of<'a>(policies: impl Iterator<Item = &'a Policy>) -> Self {
        let mut all = Self { policies: policies.map(Scoped::of).collect(), ..Self::default() };
        for (number, scoped) in all.policies.iter().enumerate() {
            match &scoped.principal {
                Wanted::Any | Wanted::Of(_) => all.of_all.push(number),
                Wanted::Exactly(uid) | Wanted::Below(uid) | Wanted::OfBelow(_, uid) => {
                    all.of_some.entry(uid.clone()).or_default().push(number);
                }
            }
        }
        all
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// The numbers of those that are for `principal`.
    pub(super) fn for_principal(&self, principal: &Place) -> Vec<usize> {
        let around = std::iter::once(&principal.uid).chain(&principal.above);
        let some = around.filter_map(|uid| self.of_some.get(uid)).flatten();
        let is_for = |number: &usize| {
            self.policies.get(*number).is_some_and(|scoped| scoped.principal.fits(principal))
        };
        self.of_all.iter().chain(some).copied().filter(is_for).collect()
    }

    /// Those with these numbers that can have a say on `resource`.
    pub(super) fn about(&self, numbers: &[usize], resource: &Place) -> Result<PolicySet, String> {
        let named = numbers.iter().filter_map(|number| self.policies.get(*number));
        let fitting = named.filter(|scoped| scoped.resource.fits(resource));
        let fitting = fitting.map(|scoped| scoped.policy.clone());
        PolicySet::from_policies(fitting).map_err(|error| error.to_string())
    }
}

impl Scoped {
    fn of(policy: &Policy) -> Self {
        let principal = match policy.principal_constraint() {
            PrincipalConstraint::Any => Wanted::Any,
            PrincipalConstraint::Eq(uid) => Wanted::Exactly(uid),
            PrincipalConstraint::In(uid) => Wanted::Below(uid),
            PrincipalConstraint::Is(kind) => Wanted::Of(kind),
            PrincipalConstraint::IsIn(kind, uid) => Wanted::OfBelow(kind, uid),
        };
        let resource = match policy.resource_constraint() {
            ResourceConstraint::Any => Wanted::Any,
            ResourceConstraint::Eq(uid) => Wanted::Exactly(uid),
            ResourceConstraint::In(uid) => Wanted::Below(uid),
            ResourceConstraint::Is(kind) => Wanted::Of(kind),
            ResourceConstraint::IsIn(kind, uid) => Wanted::OfBelow(kind, uid),
        };
        Self { policy: policy.clone(), principal, resource }
    }
}

impl Wanted {
    fn fits(&self, place: &Place) -> bool {
        match self {
            Self::Any => true,
            Self::Exactly(uid) => place.uid == *uid,
            Self::Below(uid) => place.is_in(uid),
            Self::Of(kind) => place.uid.type_name() == kind,
            Self::OfBelow(kind, uid) => place.uid.type_name() == kind && place.is_in(uid),
        }
    }
}

impl Place {
    /// `None` where `entities` do not have it: then nothing is known of what it is in.
    pub(super) fn of(uid: &EntityUid, entities: &Entities) -> Option<Self> {
        let above = entities.ancestors(uid)?.cloned().collect();
        Some(Self { uid: uid.clone(), above })
    }

    /// Everything is in itself.
    fn is_in(&self, uid: &EntityUid) -> bool {
        self.uid == *uid || self.above.contains(uid)
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
        let on = set.on(action).unwrap().policies.iter();
        let mut ids: Vec<String> = on.map(|scoped| scoped.policy.id().to_string()).collect();
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

    fn uid(text: &str) -> EntityUid {
        text.parse().unwrap()
    }

    /// Every form of a scope, on both sides.
    #[test]
    fn a_scope_fits_whom_and_what_it_is_for() {
        let agent = Place {
            uid: uid(r#"Tallyport::Agent::"https://idp#a""#),
            above: [r#"Tallyport::Group::"g""#, r#"Tallyport::Issuer::"https://idp""#]
                .map(uid)
                .into(),
        };
        let table = Place {
            uid: uid(r#"Tallyport::Table::"t/d/s/x""#),
            above: [r#"Tallyport::Target::"t""#, r#"Tallyport::Label::"pii""#].map(uid).into(),
        };
        for (scope, fits) in [
            ("principal, action, resource", true),
            (r#"principal == Tallyport::Agent::"https://idp#a", action, resource"#, true),
            (r#"principal == Tallyport::Agent::"https://idp#b", action, resource"#, false),
            // What it is in it is not.
            (r#"principal in Tallyport::Agent::"https://idp#a", action, resource"#, true),
            (r#"principal in Tallyport::Group::"g", action, resource"#, true),
            (r#"principal in Tallyport::Group::"h", action, resource"#, false),
            ("principal is Tallyport::Agent, action, resource", true),
            ("principal is Tallyport::Human, action, resource", false),
            (r#"principal is Tallyport::Agent in Tallyport::Group::"g", action, resource"#, true),
            (r#"principal is Tallyport::Human in Tallyport::Group::"g", action, resource"#, false),
            (r#"principal is Tallyport::Agent in Tallyport::Group::"h", action, resource"#, false),
            (r#"principal, action, resource == Tallyport::Table::"t/d/s/x""#, true),
            (r#"principal, action, resource == Tallyport::Target::"t""#, false),
            (r#"principal, action, resource in Tallyport::Target::"t""#, true),
            (r#"principal, action, resource in Tallyport::Label::"pii""#, true),
            (r#"principal, action, resource in Tallyport::Label::"other""#, false),
            ("principal, action, resource is Tallyport::Table", true),
            ("principal, action, resource is Tallyport::Column", false),
            (r#"principal, action, resource is Tallyport::Table in Tallyport::Target::"t""#, true),
            (
                r#"principal, action, resource is Tallyport::Column in Tallyport::Target::"t""#,
                false,
            ),
        ] {
            let policy: Policy = format!("permit({scope});").parse().unwrap();
            let on = OnAction::of([&policy].into_iter());
            let found = on.about(&on.for_principal(&agent), &table).unwrap();
            assert_eq!(!found.is_empty(), fits, "{scope}");
        }
    }
}

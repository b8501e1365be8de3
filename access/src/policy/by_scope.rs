//! Which policies can have a say on which question.
//!
//! A policy whose scope leaves a question's action, principal or resource out neither permits nor forbids it, and its
//! conditions are not evaluated for it, so it cannot fail either. Leaving it out changes no answer and saves its evaluation:
//! of a thousand policies most are for others.

use cedar_policy::{
    ActionConstraint, Entities, Entity, EntityTypeName, EntityUid, Policy, PolicySet,
    PrincipalConstraint, ResourceConstraint,
};
use std::collections::{HashMap, HashSet};

use super::vocabulary::Vocabulary;
use super::{Action, PolicyError};

/// All policies, by action.
#[derive(Debug)]
pub(super) struct ByScope(HashMap<Action, OnAction>);

/// Those of one action.
#[derive(Debug)]
pub(super) struct OnAction {
    policies: Vec<Scoped>,
    by_principal: Index,
    /// The action and the others that its policies look at; each knows all that it is in.
    actions: Vec<Entity>,
}

/// The numbers of policies, by the entity that one side of their scope names.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Of those that name none.
    anywhere: Vec<usize>,
    at: HashMap<EntityUid, Vec<usize>>,
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
            found.insert(action, OnAction::of(fitting, &uid, &hierarchy));
        }
        Ok(Self(found))
    }

    /// The policies that can have a say on `action`.
    pub(super) fn on(&self, action: Action) -> Option<&OnAction> {
        self.0.get(&action)
    }
}

impl OnAction {
    fn of<'a>(
        fitting: impl Iterator<Item = &'a Policy>,
        action: &EntityUid,
        hierarchy: &Entities,
    ) -> Self {
        let policies: Vec<Scoped> = fitting.map(Scoped::of).collect();
        let by_principal =
            policies.iter().enumerate().map(|(number, scoped)| (number, &scoped.principal));
        let by_principal = Index::by(by_principal);
        let actions = actions_looked_at(&policies, action, hierarchy);
        Self { policies, by_principal, actions }
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// Those that are for `principal`, by their resources.
    pub(super) fn for_principal(&self, principal: &Place) -> Index {
        let near = self.by_principal.near(principal);
        let fitting = self.numbered(near).filter(|(_, scoped)| scoped.principal.fits(principal));
        Index::by(fitting.map(|(number, scoped)| (number, &scoped.resource)))
    }

    /// The numbers, in order, of those `of` these that can have a say on `resource`.
    pub(super) fn about(&self, of: &Index, resource: &Place) -> Vec<usize> {
        let near = self.numbered(of.near(resource));
        let fitting = near.filter(|(_, scoped)| scoped.resource.fits(resource));
        let mut numbers: Vec<usize> = fitting.map(|(number, _)| number).collect();
        numbers.sort_unstable();
        numbers
    }

    /// Those with these numbers.
    pub(super) fn policies(&self, numbers: &[usize]) -> Result<PolicySet, String> {
        let policies = self.numbered(numbers.iter().copied());
        let policies = policies.map(|(_, scoped)| scoped.policy.clone());
        PolicySet::from_policies(policies).map_err(|error| error.to_string())
    }

    fn numbered(
        &self,
        numbers: impl Iterator<Item = usize>,
    ) -> impl Iterator<Item = (usize, &Scoped)> {
        numbers.filter_map(|number| self.policies.get(number).map(|scoped| (number, scoped)))
    }

    /// The action and the others that its policies look at; each knows all that it is in.
    pub(super) fn actions(&self) -> &[Entity] {
        &self.actions
    }
}

impl Index {
    fn by<'a>(wanted: impl Iterator<Item = (usize, &'a Wanted)>) -> Self {
        let mut index = Self::default();
        for (number, wanted) in wanted {
            match wanted {
                Wanted::Any | Wanted::Of(_) => index.anywhere.push(number),
                Wanted::Exactly(uid) | Wanted::Below(uid) | Wanted::OfBelow(_, uid) => {
                    index.at.entry(uid.clone()).or_default().push(number);
                }
            }
        }
        index
    }

    /// All that can fit `place`, and some others.
    fn near<'a>(&'a self, place: &'a Place) -> impl Iterator<Item = usize> + 'a {
        let around = std::iter::once(&place.uid).chain(&place.above);
        let there = around.filter_map(|uid| self.at.get(uid)).flatten();
        self.anywhere.iter().chain(there).copied()
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

/// `action` and the others that `policies` look at; each knows all that it is in.
fn actions_looked_at(policies: &[Scoped], action: &EntityUid, hierarchy: &Entities) -> Vec<Entity> {
    let named = policies.iter().flat_map(|scoped| actions_in_conditions(&scoped.policy));
    let wanted: HashSet<EntityUid> = named.chain([action.clone()]).collect();
    hierarchy.iter().filter(|entity| wanted.contains(&entity.uid())).cloned().collect()
}

/// The actions that a policy names outside its scope; with them, where there are any, those of its scope.
fn actions_in_conditions(policy: &Policy) -> Vec<EntityUid> {
    let in_scope = match policy.action_constraint() {
        ActionConstraint::Any => 0,
        ActionConstraint::Eq(_) => 1,
        ActionConstraint::In(groups) => groups.len(),
    };
    let mut named = policy.entity_literals();
    named.retain(|uid| uid.type_name().basename() == "Action");
    if named.len() > in_scope { named } else { Vec::new() }
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

    /// What policies look at of the actions is there, and no more: each costs every question.
    #[test]
    fn a_question_has_the_actions_that_its_policies_look_at() {
        let of = |text: &str| {
            let set = Checked::parse(text, "p.cedar").unwrap();
            let entities = set.on(Action::Insert).unwrap().actions().to_vec();
            let id = |entity: &Entity| entity.uid().id().unescaped().to_owned();
            let mut ids: Vec<String> = entities.iter().map(id).collect();
            ids.sort_unstable();
            ids
        };
        assert_eq!(of("permit(principal, action, resource);"), ["sql:insert"]);
        let scope = r#"[Tallyport::Action::"sql:insert", Tallyport::Action::"sql:select"]"#;
        assert_eq!(of(&format!("permit(principal, action in {scope}, resource);")), ["sql:insert"]);
        let both = format!(
            "permit(principal, action in {scope}, resource) when {{ Tallyport::Action::\"sql:set\" in Tallyport::Action::\"sql:session\" }};"
        );
        assert_eq!(of(&both), ["sql:insert", "sql:select", "sql:session", "sql:set"]);
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
            let select = uid(r#"Tallyport::Action::"sql:select""#);
            let on = OnAction::of([&policy].into_iter(), &select, &Entities::empty());
            let found = on.about(&on.for_principal(&agent), &table);
            assert_eq!(!found.is_empty(), fits, "{scope}");
        }
    }
}

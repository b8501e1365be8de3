//! The Cedar names of our actions, principals and resources.

use std::collections::{HashMap, HashSet};
use std::str::FromStr as _;

use cedar_policy::{
    Entity, EntityAttrEvaluationError, EntityId, EntityTypeName, EntityUid, RestrictedExpression,
    Schema,
};
use tallyport_schemas::cedar::{NAMESPACE, SCHEMA};
use tallyport_schemas::{PrincipalKind, TokenBinding};

use super::known::Facts;
use super::resource::joined;
use super::{Action, CallArguments, PolicyError, Resource};

/// The schema and the entity types, parsed once per policy set.
#[derive(Debug)]
pub(super) struct Vocabulary {
    pub(super) schema: Schema,
    actions: HashMap<Action, EntityUid>,
    applies: HashMap<Action, Applies>,
    types: HashMap<&'static str, EntityTypeName>,
}

/// Who can do something, and to what.
#[derive(Debug)]
struct Applies {
    principals: HashSet<EntityTypeName>,
    resources: HashSet<EntityTypeName>,
}

const TYPES: [&str; 21] = [
    "Issuer",
    "Group",
    "Human",
    "Agent",
    "Service",
    "Label",
    "Target",
    "Database",
    "Schema",
    "Table",
    "Column",
    "Function",
    "AuditView",
    "AccessKind",
    "Tool",
    "McpResource",
    "Prompt",
    "Route",
    "KubeNamespace",
    "KubeObject",
    ARGUMENTS,
];

/// The type of the arguments of a call.
pub(super) const ARGUMENTS: &str = "Arguments";

/// The types of the levels of a path below a target; a column's path has all five.
const LEVELS: [&str; 5] = ["Target", "Database", "Schema", "Table", "Column"];
/// The attribute that names a level in the entities below it.
const LEVEL_ATTRIBUTES: [&str; 4] = ["target", "database", "schema", "table"];

type Attributes = HashMap<String, RestrictedExpression>;

impl Vocabulary {
    pub(super) fn load() -> Result<Self, PolicyError> {
        let broken = |error: String| PolicyError::Vocabulary(error);
        let (schema, _warnings) =
            Schema::from_cedarschema_str(SCHEMA).map_err(|error| broken(error.to_string()))?;
        let type_name = |name: &str| {
            EntityTypeName::from_str(&format!("{NAMESPACE}::{name}"))
                .map_err(|error| broken(error.to_string()))
        };
        let types = TYPES
            .into_iter()
            .map(|name| Ok((name, type_name(name)?)))
            .collect::<Result<HashMap<_, _>, PolicyError>>()?;
        let action_type = type_name("Action")?;
        let actions: HashMap<Action, EntityUid> = Action::ALL
            .into_iter()
            .map(|action| (action, uid(&action_type, action.as_str())))
            .collect();
        let mut applies = HashMap::new();
        for (action, uid) in &actions {
            let missing = || broken(format!("the schema has no `{action}`"));
            let principals = schema.principals_for_action(uid).ok_or_else(missing)?;
            let resources = schema.resources_for_action(uid).ok_or_else(missing)?;
            let (principals, resources) =
                (principals.cloned().collect(), resources.cloned().collect());
            applies.insert(*action, Applies { principals, resources });
        }
        Ok(Self { schema, actions, applies, types })
    }

    /// Whether the schema knows of such a question.
    pub(super) fn applies(&self, action: Action, who: &EntityUid, what: &EntityUid) -> bool {
        self.applies.get(&action).is_some_and(|it| {
            it.principals.contains(who.type_name()) && it.resources.contains(what.type_name())
        })
    }

    pub(super) fn action(&self, action: Action) -> Option<EntityUid> {
        self.actions.get(&action).cloned()
    }

    fn uid(&self, kind: &'static str, id: &str) -> Result<EntityUid, Unbuildable> {
        self.types.get(kind).map(|name| uid(name, id)).ok_or(Unbuildable::UnknownType(kind))
    }

    /// The principal, which is in its groups and in its issuer.
    ///
    /// Nothing else becomes an entity, here and below: what something is in is known of it, and of what it is in nothing
    /// but the name is ever asked. Cedar walks through all entities at every question.
    pub(super) fn principal(&self, facts: &Facts) -> Result<Entity, Unbuildable> {
        let principal = &facts.principal;
        let kind = match principal.kind {
            PrincipalKind::Human => "Human",
            PrincipalKind::Agent => "Agent",
            PrincipalKind::Service => "Service",
        };
        let id = self.uid(kind, &format!("{}#{}", principal.issuer, principal.subject))?;
        let groups = principal.groups.iter().map(|group| self.uid("Group", group));
        let issuer = std::iter::once(self.uid("Issuer", &principal.issuer));
        let parents = groups.chain(issuer).collect::<Result<HashSet<_>, _>>()?;
        let tags = facts.agent.other.iter().map(|(key, value)| (key.clone(), text(value)));
        Ok(Entity::new_with_tags(id, principal_attributes(facts), parents, tags)?)
    }

    /// The entity that `context.call` names. A question has one, so its id says nothing.
    pub(super) fn arguments_id(&self) -> Result<EntityUid, Unbuildable> {
        self.uid(ARGUMENTS, "call")
    }

    /// The arguments of a call: a tag for each.
    pub(super) fn arguments(&self, call: &CallArguments) -> Result<Entity, Unbuildable> {
        let tags = call.iter().map(|(pointer, value)| (pointer.to_owned(), text(value)));
        let id = self.arguments_id()?;
        Ok(Entity::new_with_tags(id, Attributes::new(), HashSet::new(), tags)?)
    }

    /// The resource, which is in all levels above it, and in its labels; `pii.ssn` is in `pii`.
    pub(super) fn resource(&self, resource: &Resource) -> Result<Entity, Unbuildable> {
        if let Resource::KubeObject { .. } = resource {
            return self.kube_object(resource);
        }
        let path = resource.path();
        let level = |depth: usize| {
            let kind = LEVELS.get(depth).copied().ok_or(Unbuildable::UnknownType("level"))?;
            self.uid(kind, &joined(path.get(..=depth).unwrap_or_default()))
        };
        let above = path.len().saturating_sub(1);
        let mut parents = (0..above).map(level).collect::<Result<HashSet<_>, _>>()?;
        for label in resource.labels() {
            let mut name = Some(label.as_str());
            while let Some(here) = name {
                parents.insert(self.uid("Label", here)?);
                name = here.rsplit_once('.').map(|(above, _)| above);
            }
        }
        let mut attributes = level_attributes(&path);
        let id = match resource {
            Resource::Function { builtin, .. } => {
                attributes.insert("builtin".to_owned(), RestrictedExpression::new_bool(*builtin));
                self.uid("Function", &joined(&path))?
            }
            Resource::Tool { read_only, destructive, open_world, .. } => {
                let hints = [
                    ("readOnly", read_only),
                    ("destructive", destructive),
                    ("openWorld", open_world),
                ];
                attributes.extend(
                    hints.map(|(name, hint)| {
                        (name.to_owned(), RestrictedExpression::new_bool(*hint))
                    }),
                );
                self.uid("Tool", &joined(&path))?
            }
            Resource::McpResource { uri, .. } => {
                attributes.remove("name");
                attributes.insert("uri".to_owned(), text(uri));
                self.uid("McpResource", &joined(&path))?
            }
            Resource::Prompt { .. } => self.uid("Prompt", &joined(&path))?,
            Resource::Route { method, path: template, read_only, .. } => {
                attributes.extend([
                    ("method".to_owned(), text(method)),
                    ("path".to_owned(), text(template)),
                    ("readOnly".to_owned(), RestrictedExpression::new_bool(*read_only)),
                ]);
                self.uid("Route", &joined(&path))?
            }
            Resource::AuditView { .. } => self.uid("AuditView", &joined(&path))?,
            Resource::AccessKind { .. } => self.uid("AccessKind", &joined(&path))?,
            _ => level(above)?,
        };
        Ok(Entity::new(id, attributes, parents)?)
    }
}

impl Vocabulary {
    /// What a request to a cluster names, which is in its namespace where it has one.
    fn kube_object(&self, resource: &Resource) -> Result<Entity, Unbuildable> {
        const NAMES: [&str; 6] =
            ["target", "namespace", "apiGroup", "resource", "name", "subresource"];
        let path = resource.path();
        let mut parents = HashSet::new();
        if let [target, namespace, ..] = path.as_slice() {
            parents.insert(self.uid("Target", &joined(&[target]))?);
            if !namespace.is_empty() {
                parents.insert(self.uid("KubeNamespace", &joined(&[target, namespace]))?);
            }
        }
        let attributes: Attributes = NAMES
            .into_iter()
            .zip(&path)
            .map(|(name, value)| (name.to_owned(), text(value)))
            .collect();
        Ok(Entity::new(self.uid("KubeObject", &joined(&path))?, attributes, parents)?)
    }
}

/// An entity could not be built; the question is answered with a denial.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unbuildable {
    #[error("the Cedar schema has no `{0}`")]
    UnknownType(&'static str),
    #[error("an attribute could not be taken: {0}")]
    Attribute(Box<EntityAttrEvaluationError>),
}

impl From<EntityAttrEvaluationError> for Unbuildable {
    fn from(error: EntityAttrEvaluationError) -> Self {
        Self::Attribute(Box::new(error))
    }
}

fn uid(kind: &EntityTypeName, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn text(value: &str) -> RestrictedExpression {
    RestrictedExpression::new_string(value.to_owned())
}

fn level_attributes(path: &[&str]) -> Attributes {
    let (Some(name), above) = (path.last(), path.len().saturating_sub(1)) else {
        return Attributes::new();
    };
    let mut attributes: Attributes = LEVEL_ATTRIBUTES
        .into_iter()
        .zip(path.iter().take(above))
        .map(|(attribute, value)| (attribute.to_owned(), text(value)))
        .collect();
    attributes.insert("name".to_owned(), text(name));
    attributes
}

fn principal_attributes(facts: &Facts) -> Attributes {
    let principal = &facts.principal;
    let actor = facts.actor.as_ref();
    let mut attributes = HashMap::from([
        ("issuer".to_owned(), text(&principal.issuer)),
        ("subject".to_owned(), text(&principal.subject)),
        ("displayName".to_owned(), text(&principal.display_name)),
        ("delegated".to_owned(), RestrictedExpression::new_bool(actor.is_some())),
        ("tokenBinding".to_owned(), text(facts.binding.map_or("none", TokenBinding::as_str))),
    ]);
    let optional = [
        ("owner", principal.owner.as_ref()),
        ("model", facts.agent.model.as_ref()),
        ("agent", facts.agent.agent.as_ref()),
        ("task", facts.agent.task.as_ref()),
        ("actor", actor.map(|actor| &actor.subject)),
        ("actorIssuer", actor.and_then(|actor| actor.issuer.as_ref())),
    ];
    attributes.extend(
        optional
            .into_iter()
            .filter_map(|(key, value)| value.map(|value| (key.to_owned(), text(value)))),
    );
    attributes
}

#[cfg(test)]
mod tests;

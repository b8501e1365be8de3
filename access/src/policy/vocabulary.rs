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

const TYPES: [&str; 18] = [
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
            Resource::AuditView { .. } => self.uid("AuditView", &joined(&path))?,
            Resource::AccessKind { .. } => self.uid("AccessKind", &joined(&path))?,
            _ => level(above)?,
        };
        Ok(Entity::new(id, attributes, parents)?)
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
mod tests {
    use cedar_policy::Entities;
    use tallyport_schemas::{Actor, AgentAttributes, Principal};

    use super::*;

    /// No question holds its resource against the schema: here every shape is.
    #[test]
    fn every_resource_has_the_shape_that_the_schema_says() {
        let vocabulary = Vocabulary::load().unwrap();
        let text = |name: &str| name.to_owned();
        let (target, database, schema) = (text("t/1"), text("d"), text("s"));
        let labels = vec![text("pii.ssn"), text("pii"), text("a.b.c")];
        let (table, column) = (text("x"), text("c"));
        let in_schema = || (target.clone(), database.clone(), schema.clone());
        let function = |builtin| {
            let (target, database, schema) = in_schema();
            Resource::Function { target, database, schema, name: text("f"), builtin }
        };
        let shapes = [
            Resource::Target { name: target.clone() },
            Resource::Database { target: target.clone(), database: database.clone() },
            {
                let (target, database, schema) = in_schema();
                Resource::Schema { target, database, schema }
            },
            {
                let (target, database, schema) = in_schema();
                Resource::Table {
                    target,
                    database,
                    schema,
                    table: table.clone(),
                    labels: labels.clone(),
                }
            },
            {
                let (target, database, schema) = in_schema();
                Resource::Column { target, database, schema, table, column, labels }
            },
            function(true),
            function(false),
            Resource::Tool {
                target: target.clone(),
                name: text("create/issue"),
                read_only: true,
                destructive: false,
                open_world: true,
                labels: vec![text("external.write")],
            },
            Resource::McpResource { target: target.clone(), uri: text("file:///a/b") },
            Resource::Prompt { target: target.clone(), name: text("review") },
            Resource::AuditView { name: text("decisions") },
            Resource::AccessKind { name: text("session") },
        ];
        for shape in shapes {
            let entity = vocabulary.resource(&shape).unwrap();
            let bare = Entity::new_no_attrs(entity.uid(), HashSet::new());
            let checked = Entities::from_entities([entity], Some(&vocabulary.schema));
            assert!(checked.is_ok(), "{shape:?}: {checked:?}");
            // The check sees what does not fit.
            let checked = Entities::from_entities([bare], Some(&vocabulary.schema));
            assert!(checked.is_err(), "{shape:?}");
        }
    }

    /// Nor the arguments of a call, none or some.
    #[test]
    fn arguments_have_the_shape_that_the_schema_says() {
        let vocabulary = Vocabulary::load().unwrap();
        for call in [serde_json::json!({}), serde_json::json!({"repo": "acme/x", "": [1]})] {
            let call = CallArguments::of(call.as_object().unwrap()).unwrap();
            let entity = vocabulary.arguments(&call).unwrap();
            let checked = Entities::from_entities([entity], Some(&vocabulary.schema));
            assert!(checked.is_ok(), "{call:?}: {checked:?}");
        }
        let other = Entity::new_with_tags(
            vocabulary.arguments_id().unwrap(),
            Attributes::new(),
            HashSet::new(),
            [("/n".to_owned(), RestrictedExpression::new_long(1))],
        );
        let checked = Entities::from_entities([other.unwrap()], Some(&vocabulary.schema));
        assert!(checked.is_err(), "a number is no text");
    }

    /// Nor a principal, however much or little its token says.
    #[test]
    fn every_principal_has_the_shape_that_the_schema_says() {
        let vocabulary = Vocabulary::load().unwrap();
        let kinds = [PrincipalKind::Human, PrincipalKind::Agent, PrincipalKind::Service];
        let text = |name: &str| Some(name.to_owned());
        for kind in kinds {
            let bare = Principal {
                issuer: "https://idp".to_owned(),
                subject: "a#b\"c".to_owned(),
                display_name: String::new(),
                kind,
                groups: Vec::new(),
                owner: None,
            };
            let groups = vec!["g".to_owned(), "g".to_owned(), String::new()];
            let full = Principal { groups, owner: text("team"), ..bare.clone() };
            let agent = AgentAttributes {
                model: text("m"),
                agent: text("a"),
                task: text("t"),
                other: [("k".to_owned(), "v".to_owned())].into(),
            };
            let actor = Actor { issuer: text("https://other"), subject: "actor".to_owned() };
            let few = Facts {
                principal: bare,
                actor: None,
                agent: AgentAttributes::default(),
                binding: None,
            };
            let all = Facts {
                principal: full,
                actor: Some(actor),
                agent,
                binding: Some(TokenBinding::Mtls),
            };
            for facts in [few, all] {
                let entity = vocabulary.principal(&facts).unwrap();
                let checked = Entities::from_entities([entity], Some(&vocabulary.schema));
                assert!(checked.is_ok(), "{facts:?}: {checked:?}");
            }
        }
    }
}

//! The Cedar names of our actions, principals and resources.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::str::FromStr as _;

use cedar_policy::{
    Entity, EntityAttrEvaluationError, EntityId, EntityTypeName, EntityUid, RestrictedExpression,
    Schema,
};
use tallyport_schemas::cedar::{NAMESPACE, SCHEMA};
use tallyport_schemas::{PrincipalKind, TokenBinding};

use super::known::Facts;
use super::resource::joined;
use super::{Action, PolicyError, Resource};

/// The schema and the entity types, parsed once per policy set.
#[derive(Debug)]
pub(super) struct Vocabulary {
    pub(super) schema: Schema,
    actions: HashMap<Action, EntityUid>,
    types: HashMap<&'static str, EntityTypeName>,
}

const TYPES: [&str; 14] = [
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
];

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
        let actions = Action::ALL
            .into_iter()
            .map(|action| (action, uid(&action_type, action.as_str())))
            .collect();
        Ok(Self { schema, actions, types })
    }

    pub(super) fn action(&self, action: Action) -> Option<EntityUid> {
        self.actions.get(&action).cloned()
    }

    fn uid(&self, kind: &'static str, id: &str) -> Result<EntityUid, Unbuildable> {
        self.types.get(kind).map(|name| uid(name, id)).ok_or(Unbuildable::UnknownType(kind))
    }

    /// The principal's entity with its groups and its issuer.
    pub(super) fn principal(&self, facts: &Facts) -> Result<(EntityUid, Vec<Entity>), Unbuildable> {
        let principal = &facts.principal;
        let kind = match principal.kind {
            PrincipalKind::Human => "Human",
            PrincipalKind::Agent => "Agent",
            PrincipalKind::Service => "Service",
        };
        let id = self.uid(kind, &format!("{}#{}", principal.issuer, principal.subject))?;
        let issuer = self.uid("Issuer", &principal.issuer)?;
        let mut entities = vec![Entity::new_no_attrs(issuer.clone(), HashSet::new())];
        let mut parents = HashSet::from([issuer]);
        for group in principal.groups.iter().collect::<BTreeSet<_>>() {
            let group = self.uid("Group", group)?;
            entities.push(Entity::new_no_attrs(group.clone(), HashSet::new()));
            parents.insert(group);
        }
        let tags = facts.agent.other.iter().map(|(key, value)| (key.clone(), text(value)));
        let attributes = principal_attributes(facts);
        entities.push(Entity::new_with_tags(id.clone(), attributes, parents, tags)?);
        Ok((id, entities))
    }

    /// The resource's entity with all that it is in.
    pub(super) fn resource(
        &self,
        resource: &Resource,
    ) -> Result<(EntityUid, Vec<Entity>), Unbuildable> {
        let path = resource.path();
        let mut entities = Vec::with_capacity(path.len() + resource.labels().len());
        let labels = self.labels(resource.labels(), &mut entities)?;
        let mut above: Option<EntityUid> = None;
        for depth in 0..path.len() {
            let last = depth + 1 == path.len();
            let kind = match resource {
                Resource::Function { .. } if last => "Function",
                Resource::AuditView { .. } => "AuditView",
                Resource::AccessKind { .. } => "AccessKind",
                _ => LEVELS.get(depth).copied().ok_or(Unbuildable::UnknownType("level"))?,
            };
            let here = path.get(..=depth).unwrap_or_default();
            let id = self.uid(kind, &joined(here))?;
            let mut attributes = level_attributes(here);
            if let (Resource::Function { builtin, .. }, true) = (resource, last) {
                attributes.insert("builtin".to_owned(), RestrictedExpression::new_bool(*builtin));
            }
            let mut parents: HashSet<EntityUid> = above.into_iter().collect();
            if last {
                parents.extend(labels.iter().cloned());
            }
            entities.push(Entity::new(id.clone(), attributes, parents)?);
            above = Some(id);
        }
        Ok((above.ok_or(Unbuildable::UnknownType("level"))?, entities))
    }

    /// Label entities; `pii.ssn` is in `pii`.
    fn labels(
        &self,
        labels: &[String],
        entities: &mut Vec<Entity>,
    ) -> Result<Vec<EntityUid>, Unbuildable> {
        let mut known: BTreeSet<&str> = BTreeSet::new();
        for label in labels {
            let mut name = Some(label.as_str());
            while let Some(here) = name.filter(|here| known.insert(here)) {
                let above = here.rsplit_once('.').map(|(above, _)| above);
                let parents = above.map(|above| self.uid("Label", above)).transpose()?;
                let id = self.uid("Label", here)?;
                entities.push(Entity::new_no_attrs(id, parents.into_iter().collect()));
                name = above;
            }
        }
        labels.iter().map(|label| self.uid("Label", label)).collect()
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

//! What a policy set has been told of an identity, shared by all who ask on its behalf.
//!
//! Cedar wants every entity of a question in one map, actions included: some ten KiB for each principal and each resource,
//! and a good part of what a new session costs. A thousand sessions of one agent need them once.

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;

use cedar_policy::{Entities, EntityUid, PolicySet};
use lru::LruCache;
use parking_lot::Mutex;
use tallyport_schemas::{Actor, AgentAttributes, Principal, PrincipalKind, TokenBinding};

use super::asker::{Answer, Question};
use super::by_scope::{Index, OnAction, Place};
use super::vocabulary::Vocabulary;
use super::{Action, Resource};
use crate::Identity;
use crate::cache::at_most;

/// Identities that one set keeps for the next who ask. One that makes room stays with those who have it.
const KEPT_IDENTITIES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// Questions, each of an action and a resource, whose entities and policies are kept ready for one identity.
const KEPT_SLICES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// Answers that are kept for one identity.
const KEPT_ANSWERS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(1023);

/// Sets of policies that are kept for one identity and action.
const KEPT_SETS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(31);

/// Everything of an identity that policy can see, and nothing else: who is alike in it is alike to policy.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Facts {
    pub(super) principal: Principal,
    /// The current actor: the others of the chain do not count (RFC 8693, section 4.1).
    pub(super) actor: Option<Actor>,
    pub(super) agent: AgentAttributes,
    pub(super) binding: Option<TokenBinding>,
}

impl Facts {
    pub(super) fn of(identity: &Identity) -> Self {
        Self {
            principal: identity.principal.clone(),
            actor: identity.delegation.first().cloned(),
            agent: identity.agent.clone(),
            binding: identity.binding,
        }
    }
}

/// One identity, as entities.
#[derive(Debug)]
pub(super) struct Known {
    /// The principal; or why it could not be built, which denies everything.
    pub(super) who: Result<Who, String>,
    /// It is an agent, or one acts for it.
    pub(super) is_agent: bool,
    slices: Mutex<LruCache<(Action, Resource), Arc<Slice>>>,
    /// What policy said.
    pub(super) answers: Mutex<LruCache<Question, Answer>>,
}

#[derive(Debug)]
pub(super) struct Who {
    pub(super) principal: EntityUid,
    /// It alone.
    entities: Entities,
    place: Place,
    of_actions: Mutex<HashMap<Action, Arc<OfAction>>>,
}

/// What questions of one action have in common, whatever they are about.
#[derive(Debug)]
struct OfAction {
    /// The principal, and the actions that policies look at.
    entities: Entities,
    /// The policies that are for the principal.
    policies: Index,
    /// Sets of these by their numbers: many resources have the same. A set takes longer to make than to ask.
    sets: Mutex<LruCache<Vec<usize>, Arc<PolicySet>>>,
}

/// All that a question of one action on one resource is about.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) resource: EntityUid,
    pub(super) entities: Entities,
    /// The policies on the action that are for the principal and about the resource.
    pub(super) policies: Arc<PolicySet>,
}

impl OfAction {
    /// Of `all` policies on the action those that can have a say on the resource.
    fn about(&self, all: &OnAction, resource: &Place) -> Result<Arc<PolicySet>, String> {
        let numbers = all.about(&self.policies, resource);
        if let Some(set) = self.sets.lock().get(&numbers) {
            return Ok(Arc::clone(set));
        }
        let set = Arc::new(all.policies(&numbers)?);
        self.sets.lock().put(numbers, Arc::clone(&set));
        Ok(set)
    }
}

impl Who {
    fn of_action(&self, action: Action, all: &OnAction) -> Result<Arc<OfAction>, String> {
        let mut of_actions = self.of_actions.lock();
        if let Some(known) = of_actions.get(&action) {
            return Ok(Arc::clone(known));
        }
        let entities = self.entities.clone().add_entities(all.actions().iter().cloned(), None);
        let entities = entities.map_err(|error| error.to_string())?;
        let policies = all.for_principal(&self.place);
        let known = Arc::new(OfAction { entities, policies, sets: Mutex::new(at_most(KEPT_SETS)) });
        of_actions.insert(action, Arc::clone(&known));
        Ok(known)
    }
}

impl Known {
    fn new(facts: &Facts, vocabulary: &Vocabulary) -> Self {
        let who = vocabulary
            .principal(facts)
            .map_err(|error| error.to_string())
            .and_then(|entity| {
                let principal = entity.uid();
                // Not held against the schema, as resources are not (`vocabulary::tests`).
                let entities = Entities::from_entities([entity], None);
                let entities = entities.map_err(|error| error.to_string())?;
                let place =
                    Place::of(&principal, &entities).ok_or("it is not among its entities")?;
                Ok(Who { principal, entities, place, of_actions: Mutex::default() })
            })
            .map_err(|error| format!("the principal cannot be told to the policy: {error}"));
        let is_agent = facts.principal.kind == PrincipalKind::Agent || facts.actor.is_some();
        Self {
            who,
            is_agent,
            slices: Mutex::new(at_most(KEPT_SLICES)),
            answers: Mutex::new(at_most(KEPT_ANSWERS)),
        }
    }

    /// Of `all` policies on `action` those that can have a say on `resource`, with the entities that they look at.
    pub(super) fn slice(
        &self,
        who: &Who,
        (action, all): (Action, &OnAction),
        resource: &Resource,
        vocabulary: &Vocabulary,
    ) -> Result<Arc<Slice>, String> {
        let question = (action, resource.clone());
        if let Some(slice) = self.slices.lock().get(&question) {
            return Ok(Arc::clone(slice));
        }
        // Not held against the schema: that takes longer than the answer, and every shape that there is has been
        // (`vocabulary::tests`). What does not fit fails in the evaluation, which denies.
        let entity = vocabulary.resource(resource).map_err(|error| error.to_string())?;
        let id = entity.uid();
        let common = who.of_action(action, all)?;
        let entities = common.entities.clone().add_entities([entity], None);
        let entities = entities.map_err(|error| error.to_string())?;
        let place = Place::of(&id, &entities).ok_or("the resource is not among its entities")?;
        let policies = common.about(all, &place)?;
        let slice = Arc::new(Slice { resource: id, entities, policies });
        self.slices.lock().put(question, Arc::clone(&slice));
        Ok(slice)
    }
}

/// The identities that one set knows.
#[derive(Debug)]
pub(super) struct Identities(Mutex<LruCache<Facts, Arc<Known>>>);

impl Identities {
    pub(super) fn new() -> Self {
        Self(Mutex::new(at_most(KEPT_IDENTITIES)))
    }

    pub(super) fn get(&self, identity: &Identity, vocabulary: &Vocabulary) -> Arc<Known> {
        let facts = Facts::of(identity);
        if let Some(known) = self.0.lock().get(&facts) {
            return Arc::clone(known);
        }
        let known = Arc::new(Known::new(&facts, vocabulary));
        self.0.lock().put(facts, Arc::clone(&known));
        known
    }
}

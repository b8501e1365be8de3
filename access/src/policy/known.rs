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
use tallyport_schemas::{Actor, AgentAttributes, Principal, TokenBinding};

use super::by_scope::{OnAction, Place};
use super::vocabulary::Vocabulary;
use super::{Action, Resource};
use crate::Identity;

/// Identities that one set keeps for the next who ask. One that makes room stays with those who have it.
const KEPT_IDENTITIES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

/// Resources whose entities are kept ready for one identity.
const KEPT_RESOURCES: NonZeroUsize = NonZeroUsize::MIN.saturating_add(63);

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
    /// The principal, its groups and the actions; or why they could not be built, which denies everything.
    pub(super) who: Result<Who, String>,
    slices: Mutex<LruCache<Resource, Arc<Slice>>>,
}

#[derive(Debug)]
pub(super) struct Who {
    pub(super) principal: EntityUid,
    entities: Entities,
    place: Place,
    /// The policies of each action that are for it, by their numbers.
    own: Mutex<HashMap<Action, Arc<[usize]>>>,
}

/// All entities of a question on one resource.
#[derive(Debug)]
pub(super) struct Slice {
    pub(super) resource: EntityUid,
    pub(super) entities: Entities,
    place: Place,
    /// Of each action that was asked about: the policies that are for the principal and about the resource.
    policies: Mutex<HashMap<Action, Arc<PolicySet>>>,
}

impl Who {
    /// Of `all` policies on `action` those for this principal.
    fn own(&self, action: Action, all: &OnAction) -> Arc<[usize]> {
        let mut own = self.own.lock();
        let found = own.entry(action).or_insert_with(|| all.for_principal(&self.place).into());
        Arc::clone(found)
    }
}

impl Slice {
    /// Of `all` policies on `action` those that can have a say.
    pub(super) fn policies(
        &self,
        who: &Who,
        action: Action,
        all: &OnAction,
    ) -> Result<Arc<PolicySet>, String> {
        if let Some(kept) = self.policies.lock().get(&action) {
            return Ok(Arc::clone(kept));
        }
        let own = who.own(action, all);
        let policies = Arc::new(all.about(&own, &self.place)?);
        self.policies.lock().insert(action, Arc::clone(&policies));
        Ok(policies)
    }
}

impl Known {
    fn new(facts: &Facts, vocabulary: &Vocabulary) -> Self {
        let who = vocabulary
            .principal(facts)
            .map_err(|error| error.to_string())
            .and_then(|(principal, entities)| {
                let entities = Entities::from_entities(entities, Some(&vocabulary.schema))
                    .map_err(|error| error.to_string())?;
                let place =
                    Place::of(&principal, &entities).ok_or("it is not among its entities")?;
                Ok(Who { principal, entities, place, own: Mutex::default() })
            })
            .map_err(|error| format!("the principal cannot be told to the policy: {error}"));
        Self { who, slices: Mutex::new(at_most(KEPT_RESOURCES)) }
    }

    pub(super) fn slice(
        &self,
        who: &Who,
        resource: &Resource,
        vocabulary: &Vocabulary,
    ) -> Result<Arc<Slice>, String> {
        if let Some(slice) = self.slices.lock().get(resource) {
            return Ok(Arc::clone(slice));
        }
        let (id, entities) = vocabulary.resource(resource).map_err(|error| error.to_string())?;
        let entities = who
            .entities
            .clone()
            .add_entities(entities, Some(&vocabulary.schema))
            .map_err(|error| error.to_string())?;
        let place = Place::of(&id, &entities).ok_or("the resource is not among its entities")?;
        let policies = Mutex::default();
        let slice = Arc::new(Slice { resource: id, entities, place, policies });
        self.slices.lock().put(resource.clone(), Arc::clone(&slice));
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

/// A cache that grows to `entries`. [`LruCache::new`] would take all of its memory at once.
pub(super) fn at_most<K: std::hash::Hash + Eq, V>(entries: NonZeroUsize) -> LruCache<K, V> {
    let mut cache = LruCache::unbounded();
    cache.resize(entries);
    cache
}

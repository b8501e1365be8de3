//! Asks one policy set on behalf of one identity.

use std::borrow::Cow;
use std::sync::Arc;

use cedar_policy::{Authorizer, Context, Decision, Entities, Request};
use parking_lot::Mutex;
use tallyport_schemas::Obligation;

use super::known::{Known, Slice};
use super::{Action, AskContext, PolicySet, Resource};

/// Asks one immutable [`PolicySet`] for one [`Identity`]. Made once per session and policy version, or per request where there are no
/// sessions.
///
/// Where no policy looks at the time ([`PolicySet::reads_time`]), an answer is kept and given again to the same question
/// with the same facts, whoever of the same identity asks: nothing that it depends on can change, since all that policy can see of an
/// identity is what it is known by. Where one does, every question is evaluated.
#[derive(Debug)]
pub struct Asker {
    set: Arc<PolicySet>,
    known: Arc<Known>,
    /// The context asked with last: one statement asks many questions in one context, and making it is dear.
    context: Mutex<Option<(AskContext, Context)>>,
}

/// What an answer is kept by.
pub(super) type Question = (Action, Resource, AskContext);

/// What policy says to one question.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "an answer that is not looked at decides nothing"]
pub struct Answer {
    /// Whether it may pass, under the obligations.
    pub allowed: bool,
    /// The `@id`s of the policies that determined it, sorted; empty when nothing permits.
    pub policy_ids: Vec<String>,
    /// What the determining policies demand, sorted, without repeats; for a denial, only their advice.
    pub obligations: Vec<Obligation>,
    /// What went wrong in the evaluation; never empty without `allowed` being false.
    pub errors: Vec<String>,
}

impl Answer {
    fn failed(error: String) -> Self {
        Self { errors: vec![error], ..Self::default() }
    }
}

impl Asker {
    pub(super) fn new(set: Arc<PolicySet>, known: Arc<Known>) -> Self {
        Self { set, known, context: Mutex::default() }
    }

    /// The set it asks.
    #[must_use]
    pub const fn policy_set(&self) -> &Arc<PolicySet> {
        &self.set
    }

    /// Whether an agent asks, or somebody for whom another acts (RFC 8693).
    #[must_use]
    pub fn is_agent(&self) -> bool {
        self.known.is_agent
    }

    /// Asks whether `action` on `resource` may pass. Anything that goes wrong on the way denies.
    pub fn ask(&self, action: Action, resource: &Resource, context: &AskContext) -> Answer {
        if context.call.is_some() && !self.set.reads_call() {
            return self.ask(action, resource, &AskContext { call: None, ..context.clone() });
        }
        // The arguments of a call are long, and seldom the same twice.
        if self.set.reads_time() || context.call.is_some() {
            return self.evaluate(action, resource, context);
        }
        let mut facts = context.timeless();
        if !self.set.reads_session() {
            facts.session_id = None;
        }
        let question = (action, resource.clone(), facts);
        if let Some(answer) = self.known.answers.lock().get(&question) {
            return answer.clone();
        }
        let answer = self.evaluate(action, resource, context);
        // What could not be evaluated is tried anew.
        if answer.errors.is_empty() {
            self.known.answers.lock().put(question, answer.clone());
        }
        answer
    }

    fn evaluate(&self, action: Action, resource: &Resource, context: &AskContext) -> Answer {
        self.try_ask(action, resource, context).unwrap_or_else(Answer::failed)
    }

    fn try_ask(
        &self,
        action: Action,
        resource: &Resource,
        context: &AskContext,
    ) -> Result<Answer, String> {
        let vocabulary = self.set.vocabulary();
        let who = self.known.who.as_ref().map_err(Clone::clone)?;
        let on = self.set.on(action).ok_or("no policies are known of the action")?;
        let slice = self.known.slice(who, (action, on), resource, vocabulary)?;
        let entities = self.entities(&slice, context)?;
        let context = self.context(context)?;
        // Not held against the schema, which would take longer than the answer: such a question is one that it knows, and
        // of contexts every fact that there is has been (`context::tests`).
        if !vocabulary.applies(action, &who.principal, &slice.resource) {
            return Err(format!("`{action}` is not for {}", slice.resource.type_name()));
        }
        let action =
            vocabulary.action(action).ok_or_else(|| "the action has no name".to_owned())?;
        let resource = slice.resource.clone();
        let request = Request::new(who.principal.clone(), action, resource, context, None);
        let request = request.map_err(|error| error.to_string())?;
        let response = Authorizer::new().is_authorized(&request, &slice.policies, &entities);
        let errors: Vec<String> =
            response.diagnostics().errors().map(ToString::to_string).collect();
        let allowed = response.decision() == Decision::Allow && errors.is_empty();
        let mut policy_ids: Vec<String> =
            response.diagnostics().reason().map(ToString::to_string).collect();
        policy_ids.sort_unstable();
        let obligations = self.set.obligations(&policy_ids, allowed);
        Ok(Answer { allowed, policy_ids, obligations, errors })
    }

    /// Those of the slice and, where a call is asked for, its arguments.
    fn entities<'a>(
        &self,
        slice: &'a Slice,
        context: &AskContext,
    ) -> Result<Cow<'a, Entities>, String> {
        let Some(call) = &context.call else { return Ok(Cow::Borrowed(&slice.entities)) };
        let arguments = self.set.vocabulary().arguments(call).map_err(|error| error.to_string())?;
        let entities = slice.entities.clone().add_entities([arguments], None);
        Ok(Cow::Owned(entities.map_err(|error| error.to_string())?))
    }

    fn context(&self, asked: &AskContext) -> Result<Context, String> {
        let mut last = self.context.lock();
        if let Some((_, made)) = last.as_ref().filter(|(of, _)| of == asked) {
            return Ok(made.clone());
        }
        let made = asked.to_cedar(self.set.vocabulary()).map_err(|error| error.to_string())?;
        *last = Some((asked.clone(), made.clone()));
        Ok(made)
    }
}

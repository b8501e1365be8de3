//! One checked, immutable set of policies.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::str::FromStr as _;
use std::sync::Arc;

use cedar_policy::{Policy, PolicyId, ValidationMode, ValidationWarning, Validator};
use miette::Diagnostic;
use tallyport_schemas::Obligation;

use super::annotations::{self, Binding};
use super::by_scope::{ByScope, OnAction};
use super::files::{self, SourceFile};
use super::known::Identities;
use super::vocabulary::Vocabulary;
use super::{Action, Asker, PolicyError, Problem, reads};
use crate::Identity;

/// The most problems that one error names.
const MAX_PROBLEMS: usize = 20;

/// Policies that passed every check, with their version.
#[derive(Debug)]
pub struct PolicySet {
    version: String,
    source: String,
    policies: cedar_policy::PolicySet,
    by_scope: ByScope,
    bindings: HashMap<String, Vec<Binding>>,
    warnings: Vec<String>,
    reads_time: bool,
    reads_columns: bool,
    reads_call: bool,
    reads_session: bool,
    vocabulary: Vocabulary,
    identities: Identities,
}

impl PolicySet {
    /// Takes one policy text; `source` names it in errors and events.
    ///
    /// # Errors
    /// [`PolicyError::Invalid`] with file, line and fix of every problem found.
    pub fn parse(text: &str, source: &str) -> Result<Self, PolicyError> {
        let file = SourceFile { name: source.to_owned(), text: text.to_owned() };
        Self::from_files(&[file], false, source)
    }

    /// Reads a file, or all `*.cedar` files of a directory.
    ///
    /// # Errors
    /// Every variant of [`PolicyError`].
    pub fn read(path: &Path) -> Result<Self, PolicyError> {
        let (files, directory) = files::read(path)?;
        Self::from_files(&files, directory, &files::name_of(path))
    }

    /// Whether it permits nothing to anybody, since there is no policy.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.policies.is_empty()
    }

    /// SHA-256 of the text, lower-case hexadecimal: what `sha256sum` prints for a single file, and what
    /// `sha256sum *.cedar | sha256sum` prints in a directory.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The name of the file or directory it came from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Things that are allowed and look like a mistake, such as letters of two scripts in one name.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The ids of its policies, sorted.
    #[must_use]
    pub fn policy_ids(&self) -> Vec<String> {
        let ids: BTreeSet<String> =
            self.policies.policies().map(|policy| policy.id().to_string()).collect();
        ids.into_iter().collect()
    }

    /// Asks this set for `identity`.
    #[must_use]
    pub fn asker(self: &Arc<Self>, identity: &Identity) -> Asker {
        Asker::new(Arc::clone(self), self.identities.get(identity, &self.vocabulary))
    }

    pub(super) fn from_files(
        files: &[SourceFile],
        directory: bool,
        source: &str,
    ) -> Result<Self, PolicyError> {
        let vocabulary = Vocabulary::load()?;
        let mut draft = Draft::default();
        for file in files {
            draft.take_file(file);
        }
        let validator = Validator::new(vocabulary.schema.clone());
        draft.validate(&validator);
        if !draft.problems.is_empty() {
            draft.problems.truncate(MAX_PROBLEMS);
            return Err(PolicyError::Invalid(draft.problems));
        }
        let reads_time = draft.policies.policies().any(reads::the_time);
        let reads_columns = draft.policies.policies().any(reads::the_columns);
        let reads_session = draft.policies.policies().any(reads::the_session);
        let reads_call = draft.policies.policies().any(reads::the_call);
        Ok(Self {
            version: files::version(files, directory),
            source: source.to_owned(),
            by_scope: ByScope::of(&draft.policies, &vocabulary)?,
            reads_time,
            reads_columns,
            reads_call,
            reads_session,
            policies: draft.policies,
            bindings: draft.bindings,
            warnings: draft.warnings,
            vocabulary,
            identities: Identities::new(),
        })
    }

    /// Whether an answer may differ from the last one for no other reason than that time has passed.
    #[must_use]
    pub const fn reads_time(&self) -> bool {
        self.reads_time
    }

    /// Whether [`super::AskContext::columns`] and [`super::AskContext::labels`] are looked at.
    #[must_use]
    pub const fn reads_columns(&self) -> bool {
        self.reads_columns
    }

    /// Whether [`super::AskContext::call`] is looked at. Where it is not, an [`Asker`] leaves it out of the question, so that
    /// calls which differ in nothing else have one answer.
    #[must_use]
    pub const fn reads_call(&self) -> bool {
        self.reads_call
    }

    /// Whether any policy may look at the session that is asked in.
    pub(super) const fn reads_session(&self) -> bool {
        self.reads_session
    }

    pub(super) const fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The policies that can have a say on `action`, whoever asks and about whatever.
    pub(super) fn on(&self, action: Action) -> Option<&OnAction> {
        self.by_scope.on(action)
    }

    /// The obligations of the policies that determined an answer. A denial carries nothing but advice.
    pub(super) fn obligations(&self, policy_ids: &[String], allowed: bool) -> Vec<Obligation> {
        let bindings: BTreeSet<&Binding> = policy_ids
            .iter()
            .filter_map(|id| self.bindings.get(id))
            .flatten()
            .filter(|(kind, _)| allowed || kind == "advice")
            .collect();
        bindings
            .into_iter()
            .map(|(kind, value)| Obligation { kind: kind.clone(), value: value.clone(), on: None })
            .collect()
    }
}

/// What is gathered before it is known whether the set is good.
#[derive(Default)]
struct Draft {
    policies: cedar_policy::PolicySet,
    bindings: HashMap<String, Vec<Binding>>,
    /// Where each policy begins.
    places: BTreeMap<String, (String, usize)>,
    problems: Vec<Problem>,
    warnings: Vec<String>,
}

impl Draft {
    fn problem(&mut self, file: &str, line: usize, message: String) {
        self.problems.push(Problem { file: file.to_owned(), line, message });
    }

    fn take_file(&mut self, file: &SourceFile) {
        let parsed = match cedar_policy::PolicySet::from_str(&file.text) {
            Ok(parsed) => parsed,
            Err(errors) => {
                for error in errors.iter() {
                    let message = format!("not a Cedar policy: {}", explained(error));
                    self.problem(&file.name, line_of(&file.text, offset_of(error)), message);
                }
                return;
            }
        };
        for template in parsed.templates() {
            let offset = template.as_ref().loc().map(|loc| loc.start());
            let message = "this is a template (it has a `?principal` or `?resource`); name the \
                           entity itself"
                .to_owned();
            self.problem(&file.name, line_of(&file.text, offset), message);
        }
        let mut found: Vec<(usize, &Policy)> = parsed
            .policies()
            .map(|policy| (policy.as_ref().loc().map_or(0, |loc| loc.start()), policy))
            .collect();
        found.sort_by_key(|(offset, _)| *offset);
        for (offset, policy) in found {
            self.take_policy(file, line_of(&file.text, Some(offset)), policy);
        }
    }

    fn take_policy(&mut self, file: &SourceFile, line: usize, policy: &Policy) {
        // Without an @id, the place is the name: stable as long as the file, which the version pins.
        let id =
            policy.annotation("id").map_or_else(|| format!("{}:{line}", file.name), str::to_owned);
        match annotations::check(policy) {
            Ok(bindings) => {
                let _first = self.bindings.insert(id.clone(), bindings);
            }
            Err(found) => {
                for message in found {
                    self.problem(&file.name, line, message);
                }
            }
        }
        if let Some((other, at)) = self.places.get(&id) {
            let message = format!(
                "@id(\"{id}\") stands at {other}:{at} already; give every policy an id of its own"
            );
            self.problem(&file.name, line, message);
            return;
        }
        self.places.insert(id.clone(), (file.name.clone(), line));
        if let Err(error) = self.policies.add(policy.new_id(PolicyId::new(&id))) {
            self.problem(&file.name, line, error.to_string());
        }
    }

    fn validate(&mut self, validator: &Validator) {
        let result = validator.validate(&self.policies, ValidationMode::Strict);
        for error in result.validation_errors() {
            self.place_finding(error.policy_id(), explained(error));
        }
        for warning in result.validation_warnings() {
            let text = explained(warning);
            match warning {
                // A policy that can never apply, or that hides its text, is not what its author meant.
                ValidationWarning::ImpossiblePolicy(_)
                | ValidationWarning::InvalidActionApplication(_)
                | ValidationWarning::BidiCharsInString(_)
                | ValidationWarning::BidiCharsInIdentifier(_) => {
                    self.place_finding(warning.policy_id(), text);
                }
                _ => self.warnings.push(text),
            }
        }
        self.problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
    }

    fn place_finding(&mut self, id: &PolicyId, message: String) {
        let place = self.places.get(&id.to_string()).cloned();
        let (file, line) = place.unwrap_or_else(|| ("policy".to_owned(), 1));
        self.problem(&file, line, message);
    }
}

/// The message and, where there is one, the help.
fn explained(finding: &(impl Diagnostic + ?Sized)) -> String {
    let message = finding.to_string();
    match finding.help() {
        Some(help) => format!("{message}; {help}"),
        None => message,
    }
}

fn offset_of(finding: &dyn Diagnostic) -> Option<usize> {
    finding.labels()?.next().map(|label| label.offset())
}

/// The line, from 1, of a byte offset.
fn line_of(text: &str, offset: Option<usize>) -> usize {
    let before = text.as_bytes().get(..offset.unwrap_or(0)).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

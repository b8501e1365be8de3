//! Who decides in a session: one principal, one version of policy, masking and catalog.

use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use tallyport_access::policy::{AskContext, Asker};
use tallyport_schemas::{CommandId, Recording, TargetRef};

use crate::masking::MaskSet;
use crate::sql::{Catalog, Parsed, Revision, SessionState};
use crate::verdict::{Judge, Verdict};

/// Verdicts that one bench keeps.
const KEPT_VERDICTS: NonZeroUsize = NonZeroUsize::MIN.saturating_add(127);

/// The judge of a session and the policy behind it; replaced whole when policy, masking or catalog change.
#[derive(Debug)]
pub struct Bench {
    judge: Judge,
    asker: Asker,
    target: TargetRef,
    recording: Recording,
    kept: Mutex<LruCache<Case, Kept>>,
}

/// A text by its place in memory, and the state that it is read in.
type Case = (usize, Revision);

#[derive(Debug)]
struct Kept {
    /// Keeps the place in memory taken.
    parsed: Parsed,
    context: AskContext,
    verdict: Verdict,
}

impl Bench {
    /// `asker` and `judge` are of the same principal and the same policy.
    #[must_use]
    pub fn new(judge: Judge, asker: Asker, target: TargetRef, recording: Recording) -> Self {
        Self {
            judge,
            asker,
            target,
            recording,
            kept: Mutex::new(crate::kept::at_most(KEPT_VERDICTS)),
        }
    }

    /// What is decided about `parsed` in a session in this state.
    ///
    /// Where no policy looks at the time, the verdict on the same text in the same state with the same facts is given
    /// again: policy, masking and catalog are the bench's own, and a change of theirs is another bench. Where one does,
    /// every text is judged whenever it runs.
    pub fn verdict(
        &self,
        parsed: &Parsed,
        state: &SessionState,
        context: &AskContext,
        command_id: CommandId,
    ) -> Verdict {
        if self.asker.policy_set().reads_time() {
            return self.judge.judge(parsed, state, context, command_id);
        }
        let case = (parsed.text().as_ptr() as usize, state.revision());
        let facts = context.timeless();
        if let Some(kept) = self.kept.lock().get(&case)
            && kept.parsed.same(parsed)
            && kept.context == facts
        {
            let mut verdict = kept.verdict.clone();
            verdict.decision.command_id = Some(command_id);
            return verdict;
        }
        let verdict = self.judge.judge(parsed, state, context, command_id);
        if verdict.is_allowed() {
            let kept = Kept { parsed: parsed.clone(), context: facts, verdict: verdict.clone() };
            self.kept.lock().put(case, kept);
        }
        verdict
    }

    /// Who decides on statements.
    #[must_use]
    pub const fn judge(&self) -> &Judge {
        &self.judge
    }

    /// Which columns are masked.
    #[must_use]
    pub const fn masks(&self) -> &MaskSet {
        self.judge.masks()
    }

    /// What is decided over.
    #[must_use]
    pub fn catalog(&self) -> &Catalog {
        self.judge.catalog()
    }

    /// SHA-256 of the policy set.
    #[must_use]
    pub fn policy_version(&self) -> &str {
        self.asker.policy_set().version()
    }

    /// Whether the session may be open: asked at its start, and for every message that has no statement.
    pub fn connect(&self, context: &AskContext, command_id: Option<CommandId>) -> Verdict {
        let mut verdict = Judge::connect(&self.asker, &self.target, context, self.recording);
        verdict.decision.command_id = command_id;
        verdict
    }
}

//! Who decides in a session: one principal, one version of policy, masking and catalog.

use tallyport_access::policy::{AskContext, Asker};
use tallyport_schemas::{CommandId, Recording, TargetRef};

use crate::masking::MaskSet;
use crate::sql::Catalog;
use crate::verdict::{Judge, Verdict};

/// The judge of a session and the policy behind it; replaced whole when policy, masking or catalog change.
#[derive(Debug)]
pub struct Bench {
    judge: Judge,
    asker: Asker,
    target: TargetRef,
    recording: Recording,
}

impl Bench {
    /// `asker` and `judge` are of the same principal and the same policy.
    #[must_use]
    pub const fn new(judge: Judge, asker: Asker, target: TargetRef, recording: Recording) -> Self {
        Self { judge, asker, target, recording }
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

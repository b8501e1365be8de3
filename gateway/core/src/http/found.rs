//! What detectors found, as it goes on record: kinds and how many, never what.

use tallyport_detect::{Action, Findings, Screen};
use tallyport_schemas::{Finding, FindingAction};

/// What was found, as it goes on record.
#[must_use]
pub fn listed(screen: &Screen, findings: &Findings) -> Vec<Finding> {
    let action = |kind| match screen.rules().action(kind) {
        Some(Action::Alert) => FindingAction::Alert,
        Some(Action::Deny) => FindingAction::Deny,
        Some(Action::Mask) | None => FindingAction::Mask,
    };
    let finding = |(kind, count): (tallyport_detect::Kind, u64)| Finding {
        detector: kind.name().to_owned(),
        action: action(kind),
        count,
    };
    findings.iter().map(finding).collect()
}

/// How many of them are hidden.
#[must_use]
pub fn hidden(findings: &[Finding]) -> u64 {
    let hides = |it: &&Finding| it.action != FindingAction::Alert;
    findings.iter().filter(hides).map(|it| it.count).sum()
}

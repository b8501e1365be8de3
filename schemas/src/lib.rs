//! Events as pure data: identifiers, event families, the envelope, and their three written forms.
//!
//! * [`Event`] is the one envelope; [`Body`] has one variant per family, one family per file.
//! * [`ocsf`] is the form on the log: OCSF 1.8 JSON, our own facts under `unmapped.tallyport`, and back again.
//! * [`arrow`] is the form in the lake: the typed columns of the Delta table `events`.
//! * [`json_schema`] is the published contract of the own facts.
//!
//! This crate does no IO, holds no secret and never invents a fact: what it cannot decode is an error.

pub mod arrow;
pub mod cedar;
pub mod json_schema;
pub mod lake;
pub mod ocsf;
#[cfg(any(test, feature = "samples"))]
pub mod samples;

mod content;
mod envelope;
mod families;
#[cfg(test)]
mod golden;
mod ids;
mod principal;
mod shared;
mod target;
mod words;

pub use content::{Content, ContentEncoding, ContentError};
pub use envelope::{Body, Context, Draft, Event, Family, Producer, SCHEMA_VERSION};
pub use families::approval::{
    Approval, ApprovalRequest, ApprovalRequirement, ApprovalScope, Asked, AskedAccess, AskedCommand,
};
pub use families::authentication::{AuthMethod, Authentication, Front, Outcome, TokenBinding};
pub use families::command::{
    ColumnRef, Command, Disposition, ObjectRef, Parameter, ParameterValue, Phase, StatementKind,
};
pub use families::decision::{Decision, Effect, Obligation};
pub use families::integrity::{GapOutcome, Integrity};
pub use families::policy::{DefinitionState, PolicyChange, PolicyKind};
pub use families::query::{Face, Query, QueryPhase};
pub use families::response::{
    Finding, FindingAction, OutputColumn, Recording, Response, ResponseStatus, ResponseSummary,
};
pub use families::revocation::{Revocation, RevocationOrder, Revoked};
pub use families::session::{Session, SessionEnd, SessionStats};
pub use ids::{
    ApprovalId, CommandId, EventId, ParseIdError, ProducerId, RevocationId, SessionId, TraceId,
};
pub use principal::{Actor, AgentAttributes, Principal, PrincipalKind};
pub use shared::SharedContext;
pub use target::{CallRef, Endpoint, TargetKind, TargetRef};

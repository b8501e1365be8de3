//! The closed sets of OCSF 1.8 that our events use, with the captions the schema demands beside the numbers.

/// A class that some family maps to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Class {
    #[default]
    EventLogActivity,
    Authentication,
    AuthorizeSession,
    EntityManagement,
    UserAccess,
    ApplicationLifecycle,
    ApiActivity,
    DatastoreActivity,
    ApplicationError,
}

impl Class {
    pub(super) const fn uid(self) -> u32 {
        match self {
            Self::EventLogActivity => 1008,
            Self::Authentication => 3002,
            Self::AuthorizeSession => 3003,
            Self::EntityManagement => 3004,
            Self::UserAccess => 3005,
            Self::ApplicationLifecycle => 6002,
            Self::ApiActivity => 6003,
            Self::DatastoreActivity => 6005,
            Self::ApplicationError => 6008,
        }
    }

    pub(super) const fn caption(self) -> &'static str {
        match self {
            Self::EventLogActivity => "Event Log Activity",
            Self::Authentication => "Authentication",
            Self::AuthorizeSession => "Authorize Session",
            Self::EntityManagement => "Entity Management",
            Self::UserAccess => "User Access Management",
            Self::ApplicationLifecycle => "Application Lifecycle",
            Self::ApiActivity => "API Activity",
            Self::DatastoreActivity => "Datastore Activity",
            Self::ApplicationError => "Application Error",
        }
    }

    /// The category's number is the class's thousands.
    pub(super) const fn category(self) -> (u32, &'static str) {
        match self {
            Self::EventLogActivity => (1, "System Activity"),
            Self::Authentication
            | Self::AuthorizeSession
            | Self::EntityManagement
            | Self::UserAccess => (3, "Identity & Access Management"),
            Self::ApplicationLifecycle
            | Self::ApiActivity
            | Self::DatastoreActivity
            | Self::ApplicationError => (6, "Application Activity"),
        }
    }
}

/// A number of a closed set beside its caption.
pub(super) type Word = (u32, &'static str);

/// The number that says: see the text beside it.
pub(super) const OTHER: u32 = 99;

/// How loudly a SIEM should take it.
pub(super) mod severity {
    use super::Word;
    pub(crate) const INFORMATIONAL: Word = (1, "Informational");
    pub(crate) const MEDIUM: Word = (3, "Medium");
    pub(crate) const HIGH: Word = (4, "High");
}

pub(super) mod status {
    use super::{OTHER, Word};
    pub(crate) const SUCCESS: Word = (1, "Success");
    pub(crate) const FAILURE: Word = (2, "Failure");
    /// Recorded before its outcome is known.
    pub(crate) const INTENT: Word = (OTHER, "Intent");
    pub(crate) const REQUESTED: Word = (OTHER, "Requested");
    pub(crate) const SUSPENDED: Word = (OTHER, "Suspended");
    pub(crate) const COPY_STARTED: Word = (OTHER, "Copy Started");
    pub(crate) const PARTIAL: Word = (OTHER, "Partial");
}

/// Datastore Activity.
pub(super) mod datastore {
    use super::Word;
    pub(crate) const READ: Word = (1, "Read");
    pub(crate) const UPDATE: Word = (2, "Update");
    pub(crate) const QUERY: Word = (4, "Query");
    pub(crate) const WRITE: Word = (5, "Write");
    pub(crate) const DELETE: Word = (7, "Delete");
}

/// The profile `security_control`: what the control did, and what came of it.
pub(super) mod control {
    use super::{OTHER, Word};
    pub(crate) const PROFILE: &str = "security_control";
    pub(crate) const ALLOWED: (Word, Word) = ((1, "Allowed"), (1, "Allowed"));
    pub(crate) const BLOCKED: (Word, Word) = ((2, "Denied"), (2, "Blocked"));
    pub(crate) const UNAUTHORIZED: (Word, Word) = ((2, "Denied"), (26, "Unauthorized"));
    pub(crate) const PAUSED: (Word, Word) = ((OTHER, "Paused"), (14, "Delayed"));
    pub(crate) const ABANDONED: (Word, Word) = ((OTHER, "Abandoned"), (16, "No Action"));
    pub(crate) const MASKED: (Word, Word) = ((4, "Modified"), (OTHER, "Masked"));
    pub(crate) const FAILED: (Word, Word) = ((1, "Allowed"), (27, "Error"));
}

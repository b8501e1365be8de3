//! Cedar policy: loaded, checked in strict mode against [`tallyport_schemas::cedar::SCHEMA`], asked, reloaded.
//!
//! * [`PolicyStore`] holds what is in force and follows the file it came from.
//! * [`PolicySet`] is one checked set, immutable, with its version.
//! * [`Asker`] asks one set for one identity: [`Action`] on [`Resource`] in an [`AskContext`] gives an [`Answer`].
//!
//! An error while a policy is evaluated denies, whatever the other policies say.

mod action;
mod annotations;
mod approval;
mod asker;
mod by_scope;
mod call;
mod context;
mod error;
mod files;
mod grant;
mod known;
mod reads;
mod resource;
mod set;
mod store;
mod vocabulary;

pub use action::Action;
pub use approval::{ApprovalDemand, BadDemand};
pub use asker::{Answer, Asker};
pub use call::{CallArguments, TooManyArguments};
pub use context::{AskContext, ExecFacts};
pub use error::{PolicyError, Problem};
pub use grant::GrantDemand;
pub use resource::Resource;
pub use set::PolicySet;
pub use store::PolicyStore;

//! Labels on columns, masks on values.
//!
//! * [`Masking`]: the checked configuration: which column bears which label, what a label's mask is by default, the key
//!   of keyed hashes.
//! * [`Mask`] and [`ColumnMask`]: what becomes of one value, in text or binary format.
//! * [`MaskSet`]: which columns of one database are masked for one principal, and how; made by
//!   [`crate::verdict::Judge`].
//!
//! Masks work on what PostgreSQL says a result column *is* (table oid and attribute number), never on its name.

mod config;
mod mask;
mod secret;
mod set;

pub use config::{HashKey, Masking, MaskingError, StoredOrder};
pub use mask::{ColumnMask, End, Mask, Masked, ParseMaskError};
pub use secret::SecretSource;
pub use set::{Clearance, MaskSet};

pub(crate) use config::ColumnName;
pub(crate) use set::LabelledColumn;

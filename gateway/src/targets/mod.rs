//! The configured targets, and what is known of their databases.

mod catalog;
mod masking;

pub use catalog::{CatalogCache, CatalogLoadError};
pub use masking::{MaskingStore, MaskingStoreError};

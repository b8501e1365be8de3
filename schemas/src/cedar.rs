//! The Cedar schema: the entities, actions and context that policies may speak of.

/// The schema's text, in Cedar's own syntax. Policies are validated against it in strict mode.
pub const SCHEMA: &str = include_str!("../cedar/tallyport.cedarschema");

/// The namespace of every entity type and action in [`SCHEMA`].
pub const NAMESPACE: &str = "Tallyport";

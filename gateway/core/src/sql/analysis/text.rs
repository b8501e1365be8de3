//! SQL text that the catalog holds: views, defaults, checks, index expressions.

use super::walk::Walker;
use crate::sql::catalog::Catalog;
use crate::sql::names::Paths;
use crate::sql::parse::Parsed;

/// What the text of a view says.
#[derive(Clone, Debug, Default)]
pub(crate) struct ViewText {
    /// The relations it names.
    pub(crate) relations: Vec<u32>,
    /// Why its effect cannot be told.
    pub(crate) opaque: Option<String>,
    /// Whether reading it has an effect.
    pub(crate) has_effect: bool,
}

/// Reads the text of a view, as `pg_get_viewdef` gave it under [`Catalog::definition_path`].
pub(crate) fn view_text(definition: Option<&str>, catalog: &Catalog) -> ViewText {
    let unreadable = |why: &str| ViewText { opaque: Some(why.to_owned()), ..ViewText::default() };
    let Some(Ok(parsed)) = definition.map(Parsed::parse) else {
        return unreadable("has a definition that cannot be read");
    };
    let [query] = parsed.statements() else {
        return unreadable("has a definition that cannot be read");
    };
    let paths = Paths::exactly(catalog.definition_path().to_vec());
    let mut walker = Walker::for_definition(catalog, &paths);
    crate::sql::deep(|| walker.outermost(query));
    let out = walker.finish(query);
    let lost = out.relations.iter().any(|used| used.resolved.unknown);
    let sets = (!out.changes.is_empty()).then(|| "changes a setting".to_owned());
    let opaque = out.opaque.iter().next().cloned().or(sets);
    ViewText {
        relations: out
            .relations
            .iter()
            .flat_map(|used| used.resolved.oids.iter().copied())
            .collect(),
        opaque: opaque.or_else(|| lost.then(|| "names a relation that is not known".to_owned())),
        has_effect: out.has_effect,
    }
}

/// The code outside the known functions that an expression of the catalog runs, if any.
pub(crate) fn code_in_expression(text: &str, catalog: &Catalog) -> Option<String> {
    let Ok(parsed) = Parsed::parse(&format!("SELECT {text}")) else {
        return Some("an expression that cannot be read".to_owned());
    };
    let [query] = parsed.statements() else {
        return Some("an expression that cannot be read".to_owned());
    };
    let paths = Paths::exactly(catalog.definition_path().to_vec());
    let mut walker = Walker::for_definition(catalog, &paths);
    crate::sql::deep(|| walker.outermost(query));
    let out = walker.finish(query);
    let sets = (!out.changes.is_empty()).then(|| "an expression that changes a setting".to_owned());
    out.opaque.iter().next().cloned().or(sets)
}

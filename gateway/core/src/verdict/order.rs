//! The order in which rows are stored tells which of them were written last. Where it is to be hidden, rows of a masked
//! table come in an order that their clear columns alone decide, or not at all.

use crate::sql::analysis::{Analysis, Output, SYSTEM_COLUMNS, SortKey, TopQuery};

use super::plain::Masked;

impl Masked<'_> {
    /// Why the results of a statement might come in stored order. Masked columns need no order: what they show does not
    /// depend on the row, or is meant to tell values apart.
    pub(super) fn stored_order(&self, analysis: &Analysis, broken: &mut Vec<String>) {
        for relation in &self.elsewhere {
            broken.push(format!(
                "rows of {} would be used in the order in which they are stored: name it in FROM of the outermost SELECT only",
                relation.display()
            ));
        }
        let tops: Vec<usize> = analysis.tops.iter().map(|top| top.query).collect();
        if self.queries.iter().any(|query| !tops.contains(query)) {
            broken.push(
                "a query inside another reads a table with columns that are masked for you, in the order in which its rows are stored: select from the table in the outermost query only".to_owned(),
            );
        }
        let places = |name: &str| SYSTEM_COLUMNS.contains(&name) && name != "tableoid";
        if let Some(name) = analysis
            .columns
            .iter()
            .find_map(|used| used.name.as_deref().filter(|name| places(name)))
        {
            broken.push(format!(
                "{name} tells where and when rows were stored, which is hidden while columns are masked for you"
            ));
        }
        for top in analysis.tops.iter().filter(|top| self.queries.contains(&top.query)) {
            self.top_is_sorted(analysis, top, broken);
        }
    }

    fn top_is_sorted(&self, analysis: &Analysis, top: &TopQuery, broken: &mut Vec<String>) {
        for (place, output) in top.outputs.iter().enumerate() {
            let unsorted = match output {
                Output::Aggregate => None,
                Output::Expression => Some("an expression".to_owned()),
                Output::Plain { column, name: alias } => {
                    let Some(used) = analysis.columns.get(*column) else { continue };
                    match used.name.as_deref() {
                        None => Some("*".to_owned()),
                        Some(name) if self.meant(used.qualifier.as_deref(), name).is_some() => None,
                        Some(name) => {
                            let shown = alias.as_deref().unwrap_or(name);
                            let sorted = top.sorted.iter().any(|key| {
                                sorts(key, place, shown, used.qualifier.as_deref(), name, top)
                            });
                            (!sorted).then(|| name.to_owned())
                        }
                    }
                }
            };
            if let Some(what) = unsorted {
                broken.push(format!(
                    "the order in which rows are stored is hidden while columns are masked for you: name the results one by one, and every clear one of them in ORDER BY ({what} is not)"
                ));
                return;
            }
        }
    }
}

/// Whether `key` sorts by the plain result at `place`, which is shown as `shown` and is the column `name`.
fn sorts(
    key: &SortKey,
    place: usize,
    shown: &str,
    qualifier: Option<&str>,
    name: &str,
    top: &TopQuery,
) -> bool {
    match key {
        SortKey::Position(number) => {
            // Behind a star nobody knows the places; a star is refused for itself.
            usize::try_from(*number).is_ok_and(|number| number == place + 1)
        }
        // A name alone means a result of that name first, and only without one a column.
        SortKey::Column { qualifier: None, name: key } => {
            key == shown || (key == name && !top.shows(key))
        }
        SortKey::Column { qualifier: Some(before), name: key } => {
            key == name && qualifier.is_some_and(|qualifier| qualifier == before)
        }
        SortKey::Expression => false,
    }
}

impl TopQuery {
    /// Whether a result is given this name.
    fn shows(&self, wanted: &str) -> bool {
        self.outputs.iter().any(
            |output| matches!(output, Output::Plain { name: Some(name), .. } if name == wanted),
        )
    }
}

//! What names are in sight at a place: relations, their columns, WITH queries.

/// One source of rows in sight.
#[derive(Clone, Debug, Default)]
pub(super) struct Source {
    /// The name by which it is referred to.
    pub(super) name: Option<String>,
    /// The relations it may be; none for what a query or function makes.
    pub(super) oids: Vec<u32>,
    /// Whether a query or function makes it: it is no relation.
    pub(super) derived: bool,
    /// Its columns; None when they cannot be told.
    pub(super) columns: Option<Vec<String>>,
}

impl Source {
    /// What a query or function makes.
    pub(super) fn derived(name: &str, columns: Option<Vec<String>>) -> Self {
        Self { name: Some(name.to_owned()), oids: Vec::new(), derived: true, columns }
    }
}

/// One WITH query in sight.
#[derive(Clone, Debug)]
pub(super) struct Cte {
    pub(super) name: String,
    pub(super) columns: Option<Vec<String>>,
}

/// What is in sight, innermost last.
#[derive(Debug, Default)]
pub(super) struct Sight {
    pub(super) levels: Vec<Vec<Source>>,
    pub(super) ctes: Vec<Cte>,
}

impl Sight {
    /// The source of that name, innermost first.
    pub(super) fn source(&self, name: &str) -> Option<&Source> {
        self.levels
            .iter()
            .rev()
            .find_map(|level| level.iter().find(|source| source.name.as_deref() == Some(name)))
    }

    /// The sources that certainly have a column of that name, at the innermost level that has any.
    pub(super) fn with_column(&self, name: &str) -> Vec<&Source> {
        let has = |source: &&Source| {
            source
                .columns
                .as_ref()
                .is_some_and(|columns| columns.iter().any(|column| column == name))
        };
        self.levels
            .iter()
            .rev()
            .map(|level| level.iter().filter(has).collect::<Vec<_>>())
            .find(|sources| !sources.is_empty())
            .unwrap_or_default()
    }

    /// The WITH query of that name, innermost first.
    pub(super) fn cte(&self, name: &str) -> Option<&Cte> {
        self.ctes.iter().rev().find(|cte| cte.name == name)
    }

    /// Another source at the innermost level.
    pub(super) fn add(&mut self, source: Source) {
        match self.levels.last_mut() {
            Some(level) => level.push(source),
            None => self.levels.push(vec![source]),
        }
    }
}

/// Columns renamed from the left, as `AS t(a, b)` does.
pub(super) fn renamed(columns: Option<Vec<String>>, names: &[&str]) -> Option<Vec<String>> {
    let owned = names.iter().map(|name| (*name).to_owned());
    columns.map(|columns| owned.chain(columns.into_iter().skip(names.len())).collect())
}

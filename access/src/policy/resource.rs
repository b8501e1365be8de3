//! What an action is asked on.

use std::fmt;

/// A resource of the Cedar schema. Its `Display` is the id that policies use.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// A configured target.
    Target {
        /// Its configured name.
        name: String,
    },
    /// A database of a target.
    Database {
        /// The target's name.
        target: String,
        /// The database.
        database: String,
    },
    /// A schema of a database.
    Schema {
        /// The target's name.
        target: String,
        /// The database.
        database: String,
        /// The schema.
        schema: String,
    },
    /// A table, view or other relation.
    Table {
        /// The target's name.
        target: String,
        /// The database.
        database: String,
        /// The schema.
        schema: String,
        /// The relation.
        table: String,
        /// Its labels.
        labels: Vec<String>,
    },
    /// A column.
    Column {
        /// The target's name.
        target: String,
        /// The database.
        database: String,
        /// The schema.
        schema: String,
        /// The relation.
        table: String,
        /// The column.
        column: String,
        /// Its labels; those of its relation count only when they are named here.
        labels: Vec<String>,
    },
    /// A function or procedure.
    Function {
        /// The target's name.
        target: String,
        /// The database.
        database: String,
        /// The schema.
        schema: String,
        /// The function.
        name: String,
        /// It comes with the database system and is known to have no effect beyond its value.
        builtin: bool,
    },
    /// A tool of an MCP server.
    Tool {
        /// The server's name.
        target: String,
        /// The tool, as the server calls it.
        name: String,
        /// Its pinned definition says that it changes nothing.
        read_only: bool,
        /// Its pinned definition does not say that what it changes is only added to.
        destructive: bool,
        /// Its pinned definition does not say that it keeps to a closed world, as a memory does.
        open_world: bool,
        /// Its labels.
        labels: Vec<String>,
    },
    /// A resource of an MCP server.
    McpResource {
        /// The server's name.
        target: String,
        /// The URI, as the server gives it.
        uri: String,
    },
    /// A prompt of an MCP server.
    Prompt {
        /// The server's name.
        target: String,
        /// The prompt, as the server calls it.
        name: String,
    },
    /// A configured route of an HTTP service.
    Route {
        /// The target's name.
        target: String,
        /// The route's.
        name: String,
        /// Its method.
        method: String,
        /// Its template.
        path: String,
        /// It changes nothing.
        read_only: bool,
        /// Its labels.
        labels: Vec<String>,
    },
    /// An object of a cluster; all of its kind where it has no name.
    KubeObject {
        /// The target's name.
        target: String,
        /// Its API group; empty for the core group.
        api_group: String,
        /// The plural of its kind.
        resource: String,
        /// What of it; empty for itself.
        subresource: String,
        /// Where it is; empty for what is in no namespace, or in all of them.
        namespace: String,
        /// Empty for all of them.
        name: String,
    },
    /// A view of the audit, such as `decisions`.
    AuditView {
        /// The view.
        name: String,
    },
    /// A kind of access that can be revoked, such as `session`.
    AccessKind {
        /// The kind.
        name: String,
    },
}

impl Resource {
    /// The names from the target down to the resource itself.
    pub(super) fn path(&self) -> Vec<&str> {
        match self {
            Self::Target { name } | Self::AuditView { name } | Self::AccessKind { name } => {
                vec![name]
            }
            Self::Database { target, database } => vec![target, database],
            Self::Tool { target, name, .. } | Self::Prompt { target, name } => vec![target, name],
            Self::McpResource { target, uri } => vec![target, uri],
            Self::Route { target, name, .. } => vec![target, name],
            Self::KubeObject { target, api_group, resource, subresource, namespace, name } => {
                vec![target, namespace, api_group, resource, name, subresource]
            }
            Self::Schema { target, database, schema } => vec![target, database, schema],
            Self::Table { target, database, schema, table, .. } => {
                vec![target, database, schema, table]
            }
            Self::Function { target, database, schema, name, .. } => {
                vec![target, database, schema, name]
            }
            Self::Column { target, database, schema, table, column, .. } => {
                vec![target, database, schema, table, column]
            }
        }
    }

    pub(super) fn labels(&self) -> &[String] {
        match self {
            Self::Table { labels, .. }
            | Self::Column { labels, .. }
            | Self::Tool { labels, .. }
            | Self::Route { labels, .. } => labels,
            _ => &[],
        }
    }
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&joined(&self.path()))
    }
}

/// One id per path: the separator and the escape are escaped, so that no two paths share an id.
pub(super) fn joined(path: &[&str]) -> String {
    let escaped: Vec<String> =
        path.iter().map(|name| name.replace('%', "%25").replace('/', "%2F")).collect();
    escaped.join("/")
}

#[cfg(test)]
mod tests {
    use super::joined;
    use proptest::prelude::*;

    #[test]
    fn a_path_reads_as_a_path() {
        assert_eq!(joined(&["sample", "shop", "app", "orders"]), "sample/shop/app/orders");
        assert_eq!(joined(&["a/b", "c%2F"]), "a%2Fb/c%252F");
    }

    proptest! {
        /// Names that hold the separator or the escape, cut at another place, are another path.
        #[test]
        fn a_path_cut_elsewhere_has_another_id(names in proptest::collection::vec("[a/%25F]{0,3}", 2..5), cut in 0_usize..4) {
            let cut = cut % (names.len() - 1);
            let mut other = names.clone();
            let second = other.remove(cut + 1);
            other[cut] = format!("{}/{second}", other[cut]);
            let id = |path: &[String]| joined(&path.iter().map(String::as_str).collect::<Vec<_>>());
            prop_assert_ne!(id(&names), id(&other));
            other[cut] = format!("{}%2F{second}", names[cut]);
            prop_assert_ne!(id(&names), id(&other));
        }
    }
}

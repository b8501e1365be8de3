//! Settings that a session may change, and what a change means for reading the next statement.

use super::tree::Node;

/// One change of a setting, by `SET`, `RESET` or `set_config`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    /// The setting, lower-case.
    pub(crate) name: String,
    /// Its values as written; None for a parameter's value, empty for the default.
    pub(crate) values: Option<Vec<String>>,
}

/// Settings that change how values are written, how long things may take, or what the session is called. Nothing here
/// changes who the session is, what a name means to the gateway, or what messages say of data.
const HARMLESS: &[&str] = &[
    "application_name",
    "bytea_output",
    "datestyle",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "search_path",
    "statement_timeout",
    "synchronous_commit",
    "timezone",
    "transaction",
    "transaction_deferrable",
    "transaction_isolation",
    "transaction_read_only",
    "session characteristics",
    "transaction_timeout",
    "work_mem",
    "escape_string_warning",
    "geqo",
    "quote_all_identifiers",
    "default_tablespace",
    "temp_tablespaces",
    "constraint_exclusion",
    "force_parallel_mode",
    "xmloption",
];

/// Levels of `client_min_messages` at which messages do not carry what the server logs about itself.
const QUIET_LEVELS: &[&str] = &["notice", "warning", "error"];

/// Character sets in which a byte below 128 can be part of another character: a text would mean something else to the
/// server than to whoever reads it as UTF-8.
const MISREAD: &[&str] = &[
    "sjis",
    "mskanji",
    "shiftjis",
    "win932",
    "windows932",
    "shiftjis2004",
    "big5",
    "win950",
    "windows950",
    "gbk",
    "win936",
    "windows936",
    "uhc",
    "win949",
    "windows949",
    "johab",
    "gb18030",
];

/// Character sets that are, or contain nothing but, UTF-8.
const UTF8: &[&str] = &["utf8", "unicode"];

/// The longest name that the server does not cut (`NAMEDATALEN`).
pub(crate) const MAX_NAME_BYTES: usize = 63;

impl Change {
    /// The change that a start-up parameter makes.
    pub(crate) fn at_startup(name: &str, value: &str) -> Self {
        let name = name.to_ascii_lowercase();
        let values = if name == SEARCH_PATH { split_path(value) } else { vec![value.to_owned()] };
        Self { name, values: Some(values) }
    }

    /// The change that a `VariableSetStmt` makes; None for `RESET ALL`, which only goes back to the start.
    pub(crate) fn of_statement(statement: &Node) -> Option<Self> {
        const SET_VALUE: i64 = 1;
        const SET_MULTI: i64 = 4;
        const RESET_ALL: i64 = 6;
        let values = match statement.int("kind") {
            RESET_ALL => return None,
            SET_VALUE => statement.list("args").iter().map(constant).collect(),
            // SET TRANSACTION and its like: options, no values; SET ... TO DEFAULT, FROM CURRENT and RESET: the start.
            SET_MULTI => Some(Vec::new()),
            _ => Some(Vec::new()),
        };
        Some(Self { name: statement.text("name").to_ascii_lowercase(), values })
    }

    /// The change that a call of `set_config` makes; None when it is not told by constants.
    pub(crate) fn of_call(call: &Node) -> Option<Self> {
        let [name, value, _] = call.list("args") else { return None };
        let name = name.as_string_constant()?.to_ascii_lowercase();
        let values = match value.as_string_constant() {
            Some(value) if name == SEARCH_PATH => Some(split_path(value)),
            Some(value) => Some(vec![value.to_owned()]),
            // A parameter is the agent's own value, whichever it is.
            None if value.kind() == "ParamRef" => None,
            None => return None,
        };
        Some(Self { name, values })
    }

    /// The path that will be searched; None when it changes no path.
    pub(crate) fn search_path(&self) -> Option<PathChange> {
        if self.name != SEARCH_PATH {
            return None;
        }
        match &self.values {
            None => Some(PathChange::Unknown),
            Some(values) if values.is_empty() => Some(PathChange::Start),
            // The server cuts them, to names that may be others.
            Some(values) if values.iter().any(|name| name.len() > MAX_NAME_BYTES) => {
                Some(PathChange::Unknown)
            }
            Some(values) => Some(PathChange::To(values.clone())),
        }
    }

    /// Whether `$user` is somebody else afterwards.
    pub(crate) fn changes_role(&self) -> bool {
        ["role", "session_authorization"].contains(&self.name.as_str())
    }

    /// Whether statements may come in another character set than UTF-8 afterwards.
    pub(crate) fn leaves_utf8(&self) -> bool {
        self.name == CLIENT_ENCODING
            && !self.values.as_ref().is_some_and(|values| {
                values.iter().all(|value| UTF8.contains(&plain(value).as_str()))
            })
    }

    /// Why nobody may make this change: the gateway would read the next statement otherwise than the server does.
    pub(crate) fn misleads(&self) -> Option<String> {
        let one = |wanted: &[&str]| {
            self.values.as_ref().is_some_and(|values| {
                values.iter().all(|value| wanted.contains(&value.to_ascii_lowercase().as_str()))
            })
        };
        match self.name.as_str() {
            "standard_conforming_strings" if !one(&["on", "true", "yes", "1", "t", "y"]) => Some(
                "standard_conforming_strings must stay on: statements are read that way".to_owned(),
            ),
            CLIENT_ENCODING => {
                let misread = self.values.as_ref().is_none_or(|values| {
                    values.iter().any(|value| MISREAD.contains(&plain(value).as_str()))
                });
                misread.then(|| {
                    "client_encoding must be one in which ASCII stays ASCII: statements are read as UTF-8"
                        .to_owned()
                })
            }
            _ => None,
        }
    }

    /// Why the session may not begin with this change. Whether masks are in force is not known then, so what they
    /// would forbid of messages is refused to all.
    pub(crate) fn forbidden_at_startup(&self) -> Option<String> {
        let loud = self.name == MIN_MESSAGES && !self.is_quiet();
        self.misleads().or_else(|| {
            loud.then(|| format!("{MIN_MESSAGES} must be one of {}", QUIET_LEVELS.join(", ")))
        })
    }

    fn is_quiet(&self) -> bool {
        self.values.as_ref().is_some_and(|values| {
            values.iter().all(|value| QUIET_LEVELS.contains(&value.to_ascii_lowercase().as_str()))
        })
    }

    /// Why the change may not be made while masks are in force.
    pub(crate) fn forbidden_under_masks(&self) -> Option<String> {
        match self.name.as_str() {
            MIN_MESSAGES if self.is_quiet() => None,
            CLIENT_ENCODING | "standard_conforming_strings" => None,
            name if HARMLESS.contains(&name) => None,
            name => Some(format!("setting {name}")),
        }
    }
}

const SEARCH_PATH: &str = "search_path";
const CLIENT_ENCODING: &str = "client_encoding";
const MIN_MESSAGES: &str = "client_min_messages";

/// What a change makes of the search path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum PathChange {
    /// These schemas.
    To(Vec<String>),
    /// Those of the session's start.
    Start,
    /// Something that cannot be told.
    Unknown,
}

fn constant(node: &Node) -> Option<String> {
    let node = if node.kind() == "TypeCast" { node.child("arg")? } else { node };
    if node.kind() != "AConst" {
        return None;
    }
    let value = node.child("val")?;
    Some(match value.kind() {
        "Integer" => value.int("ival").to_string(),
        "Float" => value.text("fval").to_owned(),
        "Boolean" => if value.flag("boolval") { "true" } else { "false" }.to_owned(),
        _ => value.text("sval").to_owned(),
    })
}

/// A character set's name without what PostgreSQL ignores in it.
fn plain(name: &str) -> String {
    name.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect()
}

/// The schemas of a `search_path` as the server writes it: `app, "My Schema", "$user"`.
pub(crate) fn split_path(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let name;
        if let Some(quoted) = rest.strip_prefix('"') {
            (name, rest) = take_quoted(quoted);
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            let (head, tail) = rest.split_at_checked(end).unwrap_or((rest, ""));
            name = head.trim().to_ascii_lowercase();
            rest = tail;
        }
        if !name.is_empty() {
            names.push(name);
        }
        rest = rest.trim_start();
        rest = rest.strip_prefix(',').map_or("", str::trim_start);
    }
    names
}

/// A quoted name from behind its first quote, and what follows it; `""` is one quote.
fn take_quoted(text: &str) -> (String, &str) {
    let mut name = String::new();
    let mut rest = text;
    while let Some((head, tail)) = rest.split_once('"') {
        name.push_str(head);
        let Some(again) = tail.strip_prefix('"') else { return (name, tail) };
        name.push('"');
        rest = again;
    }
    name.push_str(rest);
    (name, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_split_as_the_server_writes_them() {
        assert_eq!(split_path(r#""$user", public"#), ["$user", "public"]);
        assert_eq!(
            split_path(r#"App,"My ""Own"", Schema" , x"#),
            ["app", "My \"Own\", Schema", "x"]
        );
        assert_eq!(split_path(""), Vec::<String>::new());
        assert_eq!(split_path(r#""""#), Vec::<String>::new());
    }

    #[test]
    fn character_sets_that_swallow_ascii_are_refused() {
        let change = |name: &str, value: &str| Change {
            name: name.to_owned(),
            values: Some(vec![value.to_owned()]),
        };
        for set in ["SJIS", "shift_jis_2004", "Big-5", "GBK", "uhc", "GB18030", "JOHAB"] {
            assert!(change("client_encoding", set).misleads().is_some(), "{set}");
        }
        for set in ["UTF8", "LATIN1", "sql_ascii", "WIN1252"] {
            assert_eq!(change("client_encoding", set).misleads(), None, "{set}");
        }
        assert!(change("client_encoding", "latin1").leaves_utf8());
        assert!(!change("client_encoding", "UTF-8").leaves_utf8());
        assert!(change("standard_conforming_strings", "off").misleads().is_some());
        assert!(change("standard_conforming_strings", "on").misleads().is_none());
    }
}

//! From text to a tree, by PostgreSQL's own grammar (libpg_query), within bounds.

use std::fmt;
use std::sync::{Arc, OnceLock};

use tallyport_schemas::StatementKind;

use super::kinds;
use super::tree::{self, MAX_DEPTH, Node};

/// A statement text that PostgreSQL's grammar accepts: one or more statements, or none.
///
/// Independent of any database, so it may be cached by text. Cheap to clone.
#[derive(Clone)]
pub struct Parsed(Arc<Inner>);

struct Inner {
    text: String,
    statements: Vec<Node>,
    kinds: Vec<StatementKind>,
    fingerprint: OnceLock<Option<String>>,
}

/// Why a text is no statement, as the grammar says it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SyntaxError {
    /// What is wrong, such as `syntax error at or near "form"`. It may quote one token of the text.
    pub message: String,
    /// Where, in characters from 1, as in the `P` field of an ErrorResponse; absent when it is not certain.
    pub position: Option<u32>,
}

/// Texts up to this length are parsed on the caller's stack: they cannot nest deep enough to need more.
const INLINE_MAX_BYTES: usize = 512;
/// Stack that the caller must have left for that, in bytes.
const INLINE_STACK: usize = 1_536 * 1024;
/// Stack of the thread that parses longer texts, in bytes. libpg_query stops itself at 2 MiB of its own frames; what
/// it then hands over is decoded in frames about four times as large.
const PARSER_STACK: usize = 48 * 1024 * 1024;
/// Stack to drop the deepest tree on, in bytes.
const DROP_STACK: usize = 2 * 1024 * 1024;

impl Parsed {
    /// The longest text accepted.
    pub const MAX_BYTES: usize = 16 * 1024 * 1024;

    /// Parses `text` with the grammar of PostgreSQL 18, reading strings as with `standard_conforming_strings = on`.
    ///
    /// # Errors
    /// When the grammar refuses it, or it is over a bound: length, depth, a NUL character.
    pub fn parse(text: &str) -> Result<Self, SyntaxError> {
        if text.len() > Self::MAX_BYTES {
            return Err(SyntaxError::plain(format!(
                "statement of {} bytes is over the limit of {} bytes",
                text.len(),
                Self::MAX_BYTES
            )));
        }
        if text.contains('\0') {
            return Err(SyntaxError::plain("statement contains a NUL character".to_owned()));
        }
        let roomy = stacker::remaining_stack().is_some_and(|left| left >= INLINE_STACK);
        let statements = if text.len() <= INLINE_MAX_BYTES && roomy {
            grammar(text)?
        } else {
            on_own_stack(text)?
        };
        let kinds = statements.iter().map(kinds::of).collect();
        Ok(Self(Arc::new(Inner {
            text: text.to_owned(),
            statements,
            kinds,
            fingerprint: OnceLock::new(),
        })))
    }

    /// The text as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The text without its constants, as libpg_query fingerprints it: 16 hexadecimal digits. None for an empty text.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&str> {
        self.0
            .fingerprint
            .get_or_init(|| {
                if self.0.statements.is_empty() {
                    return None;
                }
                stacker::maybe_grow(INLINE_STACK, PARSER_STACK, || {
                    pg_query::fingerprint(&self.0.text, 0, 0).ok().map(|print| print.hex)
                })
            })
            .as_deref()
    }

    /// The number of statements; 0 for an empty text.
    #[must_use]
    pub fn statement_count(&self) -> usize {
        self.0.statements.len()
    }

    /// What the statements do, in order; one [`StatementKind::Empty`] for an empty text.
    #[must_use]
    pub fn kinds(&self) -> Vec<StatementKind> {
        if self.0.kinds.is_empty() { vec![StatementKind::Empty] } else { self.0.kinds.clone() }
    }

    /// Whether both are the same parse.
    pub(crate) fn same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(crate) fn statements(&self) -> &[Node] {
        &self.0.statements
    }
}

impl fmt::Debug for Parsed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parsed").field("kinds", &self.0.kinds).finish_non_exhaustive()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Nodes drop their children recursively, wherever the last holder happens to be; a short text is not deep.
        let statements = std::mem::take(&mut self.statements);
        if self.text.len() > INLINE_MAX_BYTES {
            stacker::maybe_grow(DROP_STACK, DROP_STACK, || drop(statements));
        }
    }
}

impl SyntaxError {
    const fn plain(message: String) -> Self {
        Self { message, position: None }
    }

    fn from_grammar(error: pg_query::Error, text: &str) -> Self {
        match error {
            pg_query::Error::Parse(message) if message.contains("stack depth limit") => {
                Self::plain(format!("statement is nested more than {MAX_DEPTH} levels deep"))
            }
            pg_query::Error::Parse(message) => {
                let position = position_of(&message, text);
                Self { message, position }
            }
            other => Self::plain(other.to_string()),
        }
    }
}

/// The binding drops the position, so it is told only where the message names a token that occurs once.
fn position_of(message: &str, text: &str) -> Option<u32> {
    let characters = |bytes: usize| {
        text.get(..bytes).and_then(|head| u32::try_from(head.chars().count() + 1).ok())
    };
    if message.ends_with("at end of input") {
        return characters(text.trim_end().len());
    }
    let (_, token) = message.split_once("at or near \"")?;
    let token = token.strip_suffix('"').filter(|token| !token.is_empty())?;
    let mut places = text.match_indices(token);
    match (places.next(), places.next()) {
        (Some((at, _)), None) => characters(at),
        _ => None,
    }
}

fn grammar(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let parsed =
        pg_query::parse(text, 0).map_err(|error| SyntaxError::from_grammar(error, text))?;
    let mut statements = Vec::with_capacity(parsed.protobuf.stmts.len());
    for raw in &parsed.protobuf.stmts {
        let Some(statement) = &raw.stmt else { continue };
        match tree::build(statement.as_ref()) {
            Ok(Some(node)) => statements.push(node),
            Ok(None) => {}
            Err(error) => return Err(SyntaxError::plain(error.to_string())),
        }
    }
    Ok(statements)
}

fn on_own_stack(text: &str) -> Result<Vec<Node>, SyntaxError> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("sql-parser".to_owned())
            .stack_size(PARSER_STACK)
            .spawn_scoped(scope, || grammar(text))
            .map_err(|error| SyntaxError::plain(format!("statement cannot be read now: {error}")))?
            .join()
            .unwrap_or_else(|_| {
                Err(SyntaxError::plain("statement cannot be read: the parser failed".to_owned()))
            })
    })
}

//! From text to a tree, by PostgreSQL's own grammar (libpg_query), within bounds.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};

use sha2::{Digest as _, Sha256};
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
    sha256: OnceLock<String>,
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

/// Decoding one level of libpg_query's tree takes up to 43 KiB of stack (it has 271 kinds of node), and the tersest text
/// needs two bytes for a level.
const STACK_PER_BYTE: usize = 24 * 1024;
/// Stack for everything else, in bytes.
const STACK_BASE: usize = 512 * 1024;
/// Texts up to this length are parsed each on a stack that no text of that length can overflow.
const SHORT_BYTES: usize = 2 * 1024;
/// libpg_query itself stops at 10,000 levels of messages, which are 5,000 of nodes.
const LONG_STACK: usize = 320 * 1024 * 1024;
/// So many texts longer than [`SHORT_BYTES`] are parsed at a time, in the whole process: memory stays bounded however
/// many sessions send texts that are nothing but brackets.
const LONG_AT_A_TIME: usize = 2;
/// Stack to drop the deepest tree on, in bytes.
const DROP_STACK: usize = 2 * 1024 * 1024;
/// Stack to make a fingerprint on, which looks 100 levels deep, in bytes.
const FINGERPRINT_STACK: usize = 1024 * 1024;

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
        let statements = with_stack(text)?;
        let kinds = statements.iter().map(kinds::of).collect();
        Ok(Self(Arc::new(Inner {
            text: text.to_owned(),
            statements,
            kinds,
            fingerprint: OnceLock::new(),
            sha256: OnceLock::new(),
        })))
    }

    /// The text as it was given.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// The SHA-256 of the text, as 64 hexadecimal digits.
    #[must_use]
    pub fn sha256(&self) -> &str {
        self.0.sha256.get_or_init(|| hex::encode(Sha256::digest(&self.0.text)))
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
                stacker::maybe_grow(FINGERPRINT_STACK, 2 * FINGERPRINT_STACK, || {
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
        if self.text.len() > SHORT_BYTES {
            stacker::maybe_grow(DROP_STACK, DROP_STACK, || drop(statements));
        }
    }
}

impl SyntaxError {
    const fn plain(message: String) -> Self {
        Self { message, position: None }
    }

    fn panicked() -> Self {
        Self::plain("statement cannot be read: the parser failed on it".to_owned())
    }

    fn from_grammar(error: pg_query::Error, text: &str) -> Self {
        match error {
            pg_query::Error::Parse(message)
                if TOO_DEEP.iter().any(|words| message.contains(words)) =>
            {
                Self::plain(format!("statement is nested more than {MAX_DEPTH} levels deep"))
            }
            pg_query::Error::Parse(message) => {
                let position = position_of(&message, text);
                Self { message, position }
            }
            pg_query::Error::InvalidPointer => Self::panicked(),
            other => Self::plain(other.to_string()),
        }
    }
}

/// What libpg_query says of a tree that is too deep for it.
const TOO_DEEP: &[&str] = &["stack depth limit", "nested too deeply", "memory exhausted"];

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

/// Parses on a stack that the text cannot overflow: the caller's when it has that much left, else a thread's.
fn with_stack(text: &str) -> Result<Vec<Node>, SyntaxError> {
    let needed = STACK_BASE + text.len() * STACK_PER_BYTE;
    if stacker::remaining_stack().is_some_and(|left| left >= needed) {
        return grammar(text);
    }
    if text.len() <= SHORT_BYTES {
        return on_thread(text, STACK_BASE + SHORT_BYTES * STACK_PER_BYTE);
    }
    let _turn = Turn::wait();
    on_thread(text, LONG_STACK)
}

fn on_thread(text: &str, stack_bytes: usize) -> Result<Vec<Node>, SyntaxError> {
    std::thread::scope(|scope| {
        std::thread::Builder::new()
            .name("sql-parser".to_owned())
            .stack_size(stack_bytes)
            .spawn_scoped(scope, || grammar(text))
            .map_err(|error| SyntaxError::plain(format!("statement cannot be read now: {error}")))?
            .join()
            .unwrap_or_else(|_| Err(SyntaxError::panicked()))
    })
}

fn grammar(text: &str) -> Result<Vec<Node>, SyntaxError> {
    // The binding indexes and casts on its way; should it ever panic, the statement is refused and the session lives.
    let parsed = std::panic::catch_unwind(|| pg_query::parse(text, 0))
        .unwrap_or(Err(pg_query::Error::InvalidPointer))
        .map_err(|error| SyntaxError::from_grammar(error, text))?;
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

/// A turn at parsing a long text; given back when dropped.
struct Turn;

static LONG: (Mutex<usize>, Condvar) = (Mutex::new(0), Condvar::new());

impl Turn {
    fn wait() -> Self {
        let (running, freed) = &LONG;
        let mut count = running.lock().unwrap_or_else(PoisonError::into_inner);
        while *count >= LONG_AT_A_TIME {
            count = freed.wait(count).unwrap_or_else(PoisonError::into_inner);
        }
        *count += 1;
        Self
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (running, freed) = &LONG;
        *running.lock().unwrap_or_else(PoisonError::into_inner) -= 1;
        freed.notify_one();
    }
}

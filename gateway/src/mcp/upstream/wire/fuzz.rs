//! A door for the fuzz targets: what is made of the bytes of an MCP server before a request has them.

use futures::FutureExt as _;
use gateway_core::mcp::{Id, ToolFacts};
use serde_json::{Map, Value};
use tokio::io::BufReader;

use super::super::definitions::Look;
use super::super::own::Known;
use super::alias::Alias;
use super::lines::{Line, Lines};
use crate::config::McpServer;

/// The lines of a child that writes in pieces of so many bytes: whole ones, and the beginnings of those that are too long.
#[must_use]
pub fn lines(
    written: &[u8],
    piece_bytes: usize,
    max_bytes: usize,
) -> Vec<Result<Vec<u8>, Vec<u8>>> {
    let mut lines = Lines::new(BufReader::with_capacity(piece_bytes, written), max_bytes);
    let mut all = Vec::new();
    // What is in memory is there at once.
    while let Some(Ok(Some(line))) = lines.next().now_or_never() {
        all.push(match line {
            Line::Whole(line) => Ok(line),
            Line::TooLong(begins) => Err(begins),
        });
    }
    all
}

/// One message of a server.
#[must_use]
pub fn message(bytes: &[u8]) -> Option<Value> {
    super::message(bytes).ok()
}

/// The tools of a server that may be pinned, of those that it lists, with the hashes of their definitions.
#[must_use]
pub fn tools(server: &McpServer, listed: Vec<Value>) -> Vec<(ToolFacts, Value, String)> {
    let known = Known { tools: listed, ..Known::default() };
    let look = Look::of(server, known);
    let all = look.tools().iter();
    all.map(|it| (it.facts.clone(), it.defined.clone(), it.sha256.clone())).collect()
}

/// A request's two names, one at its server and one at its client.
#[derive(Debug)]
pub struct Names(Alias);

impl Names {
    /// Puts the name at the server into what the request says of progress.
    #[must_use]
    pub fn new(at_server: Id, at_client: Id, params: &mut Map<String, Value>) -> Self {
        Self(Alias::new(at_server, at_client, params))
    }

    /// Puts the client's names into what a server says beside its answer. Whether it may pass.
    pub fn rename(&self, message: &mut Value) -> bool {
        self.0.rename(message)
    }

    /// The same of the answer.
    pub fn rename_answer(&self, message: &mut Value) {
        self.0.rename_answer(message);
    }
}

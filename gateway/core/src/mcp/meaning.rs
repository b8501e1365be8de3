//! What is asked of a server, as every kind of target has it.

use tallyport_access::policy::{Action, Resource};

use crate::target::Question;
use crate::verdict::Facts;

/// What is asked of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerQuestion<'a> {
    /// To use it at all.
    Use,
    /// To call a tool.
    Call(&'a ToolFacts),
    /// To read this resource; to see which there are, where absent.
    Read(Option<&'a str>),
    /// To get this prompt; to see which there are, where absent.
    Prompt(Option<&'a str>),
}

/// What a pinned definition says of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToolFacts {
    /// As the server calls it.
    pub name: String,
    /// It changes nothing.
    pub read_only: bool,
    /// What it changes may be lost.
    pub destructive: bool,
    /// It reaches beyond what the server itself holds.
    pub open_world: bool,
    /// The labels that the configuration gives it.
    pub labels: Vec<String>,
}

impl ServerQuestion<'_> {
    /// What it means at this server. Its statement and its arguments are those of a message.
    #[must_use]
    pub fn meant(&self, server: &str) -> Question {
        let target = server.to_owned();
        let ask = match self {
            Self::Use => (Action::McpConnect, Resource::Target { name: target }),
            Self::Call(tool) => (Action::McpCall, tool.at(server)),
            Self::Read(None) => (Action::McpRead, Resource::Target { name: target }),
            Self::Read(Some(uri)) => {
                (Action::McpRead, Resource::McpResource { target, uri: (*uri).to_owned() })
            }
            Self::Prompt(None) => (Action::McpPrompt, Resource::Target { name: target }),
            Self::Prompt(Some(name)) => {
                (Action::McpPrompt, Resource::Prompt { target, name: (*name).to_owned() })
            }
        };
        // What a tool does cannot be seen, only what its definition says of it.
        let facts = match self {
            Self::Call(tool) => Facts {
                functions: vec![format!("{server}/{}", tool.name)],
                labels: tool.labels.clone(),
                read_only: tool.read_only,
                opaque: true,
                ..Facts::default()
            },
            Self::Use | Self::Read(_) | Self::Prompt(_) => {
                Facts { read_only: true, ..Facts::default() }
            }
        };
        Question { asks: vec![ask], facts, ..Question::default() }
    }
}

impl ToolFacts {
    /// As policies see it at this server.
    #[must_use]
    pub fn at(&self, server: &str) -> Resource {
        let Self { name, read_only, destructive, open_world, labels } = self;
        Resource::Tool {
            target: server.to_owned(),
            name: name.clone(),
            read_only: *read_only,
            destructive: *destructive,
            open_world: *open_world,
            labels: labels.clone(),
        }
    }
}

//! `_meta` of a request: what it says of its client.

use serde_json::{Map, Value};

use super::error::RpcError;
use super::revision::Era;

pub(super) const PROTOCOL_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const CLIENT_INFO: &str = "io.modelcontextprotocol/clientInfo";
const CLIENT_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
const PROGRESS_TOKEN: &str = "progressToken";
/// The longest name or version of a client, and the longest progress token.
const MAX_TEXT_BYTES: usize = 256;

/// What a request says of its client. Whose the client is, only its token says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RequestMeta {
    client: Option<ClientInfo>,
    capabilities: Map<String, Value>,
    progress_token: Option<Value>,
}

/// What a client calls itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// Its name.
    pub name: String,
    /// Its version; empty where it says none.
    pub version: String,
}

impl RequestMeta {
    /// Reads it. From 2026-07-28 on it names the revision and what the client can do, at least.
    ///
    /// # Errors
    /// [`RpcError`] with -32602 and HTTP 400.
    pub fn read(era: Era, params: &Map<String, Value>) -> Result<Self, RpcError> {
        let none = Map::new();
        let meta = match params.get("_meta") {
            None => &none,
            Some(Value::Object(meta)) => meta,
            Some(_) => return Err(RpcError::invalid_meta("send _meta as an object")),
        };
        let progress_token = meta.get(PROGRESS_TOKEN).map(progress_token).transpose()?;
        if era == Era::Legacy {
            return Ok(Self { progress_token, ..Self::default() });
        }
        if !meta.get(PROTOCOL_VERSION).is_some_and(Value::is_string) {
            return Err(RpcError::invalid_meta(format!("send _meta with {PROTOCOL_VERSION}")));
        }
        let Some(Value::Object(capabilities)) = meta.get(CLIENT_CAPABILITIES) else {
            return Err(RpcError::invalid_meta(format!("send _meta with {CLIENT_CAPABILITIES}")));
        };
        let client = meta.get(CLIENT_INFO).map(client_info).transpose()?;
        Ok(Self { client, capabilities: capabilities.clone(), progress_token })
    }

    /// What the client calls itself, where it says so.
    #[must_use]
    pub const fn client(&self) -> Option<&ClientInfo> {
        self.client.as_ref()
    }

    /// What notifications of progress are to name, where the client wants them: a text or an integer.
    #[must_use]
    pub const fn progress_token(&self) -> Option<&Value> {
        self.progress_token.as_ref()
    }

    /// Whether the client can do this: `path` is the capability, outermost name first.
    #[must_use]
    pub fn declares(&self, path: &[&str]) -> bool {
        let mut names = path.iter();
        let Some(mut here) = names.next().and_then(|name| self.capabilities.get(*name)) else {
            return false;
        };
        for name in names {
            match here.get(name) {
                Some(inner) => here = inner,
                None => return false,
            }
        }
        here.is_object()
    }

    /// Refuses where it cannot.
    ///
    /// # Errors
    /// [`RpcError`] with -32021, which says what to declare.
    pub fn requires(&self, path: &[&str]) -> Result<(), RpcError> {
        if self.declares(path) { Ok(()) } else { Err(RpcError::missing_capability(path)) }
    }
}

fn progress_token(value: &Value) -> Result<Value, RpcError> {
    let fits = match value {
        Value::String(text) => text.len() <= MAX_TEXT_BYTES,
        Value::Number(number) => number.is_i64() || number.is_u64(),
        _ => false,
    };
    if fits {
        return Ok(value.clone());
    }
    Err(RpcError::invalid_meta("send a progressToken that is a short text or an integer"))
}

fn client_info(value: &Value) -> Result<ClientInfo, RpcError> {
    let text = |name: &str| match value.get(name) {
        None => Some(String::new()),
        Some(Value::String(text)) if text.len() <= MAX_TEXT_BYTES => Some(text.clone()),
        Some(_) => None,
    };
    match (text("name"), text("version")) {
        (Some(name), Some(version)) if !name.is_empty() => Ok(ClientInfo { name, version }),
        _ => Err(RpcError::invalid_meta(format!("send {CLIENT_INFO} with name and version"))),
    }
}

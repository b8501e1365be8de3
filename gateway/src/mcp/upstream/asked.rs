//! What a client may ask of a server beside its tools, and what policy is asked about it.

use gateway_core::mcp::reply::Listed;
use gateway_core::mcp::{Era, RpcError, ServerQuestion};
use serde_json::{Map, Value};
use tallyport_schemas::Phase;

/// One request.
pub(super) struct Asked {
    about: About,
    pub(super) phase: Phase,
    /// Other resources that it is about.
    pub(super) also: Vec<String>,
    /// Its answer is a list, of which only parts may pass.
    pub(super) lists: Option<Listed>,
    /// It is answered as long as the client listens.
    pub(super) is_stream: bool,
}

enum About {
    Server,
    Prompt(Option<String>),
    Resource(Option<String>),
}

impl Asked {
    /// Of its method and parameters.
    pub(super) fn of(
        era: Era,
        method: &str,
        params: &Map<String, Value>,
    ) -> Result<Self, RpcError> {
        let text = |name: &str| {
            let value = params.get(name).and_then(Value::as_str).map(str::to_owned);
            value.ok_or_else(|| RpcError::invalid_params(format!("send params.{name} as a text")))
        };
        let plain =
            |about, phase| Self { about, phase, also: Vec::new(), lists: None, is_stream: false };
        let list = |about, phase, kind| Self { lists: Some(kind), ..plain(about, phase) };
        Ok(match (method, era) {
            ("ping" | "logging/setLevel", Era::Legacy) => plain(About::Server, Phase::Control),
            ("prompts/list", _) => list(About::Prompt(None), Phase::Prompt, Listed::Prompts),
            ("prompts/get", _) => plain(About::Prompt(Some(text("name")?)), Phase::Prompt),
            ("resources/list", _) => list(About::Resource(None), Phase::Read, Listed::Resources),
            ("resources/templates/list", _) => {
                list(About::Resource(None), Phase::Read, Listed::Templates)
            }
            ("resources/read", _)
            | ("resources/subscribe" | "resources/unsubscribe", Era::Legacy) => {
                plain(About::Resource(Some(plain_uri(text("uri")?)?)), Phase::Read)
            }
            ("completion/complete", _) => plain(completed(params)?, Phase::Complete),
            ("subscriptions/listen", Era::Modern) => Self {
                also: subscribed(params)?,
                is_stream: true,
                ..plain(About::Server, Phase::Control)
            },
            _ => return Err(RpcError::no_method()),
        })
    }

    pub(super) fn question(&self) -> ServerQuestion<'_> {
        match &self.about {
            About::Server => ServerQuestion::Use,
            About::Prompt(name) => ServerQuestion::Prompt(name.as_deref()),
            About::Resource(uri) => ServerQuestion::Read(uri.as_deref()),
        }
    }
}

/// What an argument is completed of.
fn completed(params: &Map<String, Value>) -> Result<About, RpcError> {
    let of = params.get("ref").and_then(Value::as_object);
    let text =
        |name: &str| of.and_then(|of| of.get(name)).and_then(Value::as_str).map(str::to_owned);
    match (text("type").as_deref(), text("name"), text("uri")) {
        (Some("ref/prompt"), Some(name), _) => Ok(About::Prompt(Some(name))),
        (Some("ref/resource"), _, Some(uri)) => Ok(About::Resource(Some(plain_uri(uri)?))),
        _ => Err(RpcError::invalid_params(
            "send params.ref: {\"type\": \"ref/prompt\", \"name\": ...} or {\"type\": \"ref/resource\", \"uri\": ...}",
        )),
    }
}

/// Policy speaks of resources by what their address begins with: one that leads elsewhere on its way would be decided about as
/// one and read as another.
fn plain_uri(uri: String) -> Result<String, RpcError> {
    let said = uri.to_ascii_lowercase().replace("%2e", ".");
    let is_plain = !said.contains("%2f")
        && !said.contains("%5c")
        && !said.contains("%25")
        && !said.chars().any(|c| c == '\\' || c.is_control())
        && !said.split(['/', '?', '#']).any(|part| part == ".." || part == ".");
    if is_plain {
        return Ok(uri);
    }
    let why = "send an address without `.` and `..` as parts, without backslashes, and without %25, %2F and %5C";
    Err(RpcError::invalid_params(why))
}

/// The resources of which somebody wants to hear.
fn subscribed(params: &Map<String, Value>) -> Result<Vec<String>, RpcError> {
    let wanted = params.get("notifications").and_then(|it| it.get("resourceSubscriptions"));
    let uris = wanted.and_then(Value::as_array).into_iter().flatten();
    let text = |uri: &Value| uri.as_str().map_or_else(|| uri.to_string(), str::to_owned);
    uris.map(|uri| plain_uri(text(uri))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_where_it_leads() {
        for plain in [
            "file:///a/b.txt",
            "note:1",
            "https://h/x..y/.hidden?q=a",
            "test://t/{id}/data",
            "a:%20b",
        ] {
            assert!(plain_uri(plain.to_owned()).is_ok(), "{plain}");
        }
        for other in [
            "file:///pub/../etc",
            "file:///pub/%2e%2E/etc",
            "file:///pub/.%2e/etc",
            "file:///pub/./x",
            "file:///pub/..",
            "x:..\\y",
            "file:///pub/%252e%252e/etc",
            "file:///pub%2f..%2fetc",
            "file:///pub/..?x",
            "file:///a%5cb",
            "a:\nb",
        ] {
            assert!(plain_uri(other.to_owned()).is_err(), "{other}");
        }
    }
}

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
    let is_plain = is_in_one_spelling(&uri)
        && !said.contains("%2f")
        && !said.contains("%5c")
        && !said.contains("%25")
        && !said.chars().any(|c| c == '\\' || c == '#' || c.is_control())
        && leads_one_way(&said)
        && !said.split(['/', '?', '#']).any(|part| part == ".." || part == ".");
    if is_plain {
        return Ok(uri);
    }
    let why = "send an address without `.`, `..` and nothing as parts, without backslashes and `#`, without %25, %2F and %5C, with its \
               scheme in small letters, without localhost as the host of a file, and with letters, digits, `-`, `.`, `_` and `~` as they \
               are (RFC 3986 section 6.2.2)";
    Err(RpcError::invalid_params(why))
}

/// Whether a path has no empty parts, which file systems pass over, and a file no host but none (RFC 8089 section 2).
fn leads_one_way(uri: &str) -> bool {
    let (scheme, rest) = uri.split_once(':').unwrap_or(("", uri));
    let rest = rest.split('?').next().unwrap_or_default();
    let path = match rest.strip_prefix("//") {
        Some(rest) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            if scheme == "file" && !host.is_empty() {
                return false;
            }
            path
        }
        None => rest,
    };
    !path.contains("//")
}

/// Whether no other spelling of an address means the same (RFC 3986 sections 6.2.2.1 and 6.2.2.2): a server that decodes reads
/// `%73ecret` as `secret`, and a policy that forbids the one would not know the other.
fn is_in_one_spelling(uri: &str) -> bool {
    let scheme = uri.split_once(':').map_or("", |(scheme, _)| scheme);
    let digit = |it: &u8| char::from(*it).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let is_needless = |escape: &[u8]| match escape {
        [b'%', high, low] => digit(high).zip(digit(low)).is_some_and(|(high, low)| {
            let meant = high * 16 + low;
            meant.is_ascii_alphanumeric() || b"-._~".contains(&meant)
        }),
        _ => false,
    };
    !scheme.bytes().any(|it| it.is_ascii_uppercase()) && !uri.as_bytes().windows(3).any(is_needless)
}

/// The resources of which somebody wants to hear.
fn subscribed(params: &Map<String, Value>) -> Result<Vec<String>, RpcError> {
    let wanted = params.get("notifications").and_then(|it| it.get("resourceSubscriptions"));
    let uris = match wanted {
        None => &[][..],
        Some(Value::Array(uris)) => uris,
        Some(_) => return Err(no_subscriptions()),
    };
    let text = |uri: &Value| uri.as_str().map(str::to_owned).ok_or_else(no_subscriptions);
    uris.iter().map(|uri| plain_uri(text(uri)?)).collect()
}

fn no_subscriptions() -> RpcError {
    RpcError::invalid_params("send notifications.resourceSubscriptions as a list of addresses")
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
            "file:///caf%C3%A9/100%",
            "note:A%3ab",
            "db://orders",
            "https://h/a?next=//b",
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
            "file:///%73ecret/b",
            "file:///secre%74",
            "file:///a%2Db",
            "file:///a%7eb",
            "FILE:///secret",
            "file:////secret/x",
            "file:///pub//x",
            "file://localhost/secret/x",
            "https://h//secret",
            "note:a//b",
            "file:///secret/x#a",
        ] {
            assert!(plain_uri(other.to_owned()).is_err(), "{other}");
        }
    }

    #[test]
    fn what_somebody_wants_to_hear_of_is_a_list_of_addresses() {
        let of = |wanted: Value| {
            let params =
                serde_json::json!({ "notifications": { "resourceSubscriptions": wanted } });
            subscribed(params.as_object().unwrap()).map_err(|_| ())
        };
        assert_eq!(of(serde_json::json!(["a:b"])), Ok(vec!["a:b".to_owned()]));
        for other in [serde_json::json!("a:b"), serde_json::json!([["a:b"]]), Value::Null] {
            assert_eq!(of(other), Err(()));
        }
    }
}

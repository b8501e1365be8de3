//! A client's request as its server gets it: what the protocol knows of it, and nothing of who sent it.

use gateway_core::mcp::{Era, Id, MODERN_REVISION, RpcError, canonical, decoded, encoded};
use serde_json::{Map, Value, json};

/// What of the parameters is passed on, by method: nobody decides about what nobody knows, and a server may read `URI` for `uri`.
const PASSED: [(&str, &[&str]); 13] = [
    ("tools/call", &["name", "arguments", "inputResponses", "requestState"]),
    ("prompts/get", &["name", "arguments", "inputResponses", "requestState"]),
    ("prompts/list", &["cursor"]),
    ("resources/read", &["uri", "inputResponses", "requestState"]),
    ("resources/list", &["cursor"]),
    ("resources/templates/list", &["cursor"]),
    ("resources/subscribe", &["uri"]),
    ("resources/unsubscribe", &["uri"]),
    ("completion/complete", &["ref", "argument", "context"]),
    ("logging/setLevel", &["level"]),
    ("subscriptions/listen", &["notifications"]),
    ("notifications/cancelled", &["requestId", "reason"]),
    ("notifications/progress", &["progressToken", "progress", "total", "message"]),
];
/// What of their members is, where policy is asked about one of these: by method, parameter and, where it has one, its `type`.
const PASSED_WITHIN: [(&str, &str, Option<&str>, &[&str]); 5] = [
    ("completion/complete", "ref", Some("ref/prompt"), &["type", "name"]),
    ("completion/complete", "ref", Some("ref/resource"), &["type", "uri"]),
    ("completion/complete", "argument", None, &["name", "value"]),
    ("completion/complete", "context", None, &["arguments"]),
    (
        "subscriptions/listen",
        "notifications",
        None,
        &[
            "toolsListChanged",
            "promptsListChanged",
            "resourcesListChanged",
            "resourceSubscriptions",
        ],
    ),
];
/// Members of `_meta` that are passed on.
const META: [&str; 4] =
    ["progressToken", "io.modelcontextprotocol/logLevel", "traceparent", "tracestate"];
/// The longest of them: what nobody decides about carries no more than it needs (W3C Trace Context: 512 characters).
const MAX_META_BYTES: usize = 512;
const CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";
/// What a client can do that the gateway passes on; extensions change what passes, and it knows none.
const PASSED_CAPABILITIES: [&str; 3] = ["sampling", "elicitation", "roots"];
/// The longest name of a client that is repeated.
const MAX_CLIENT_CHARS: usize = 128;
/// Marks a parameter that is repeated in a header (2026-07-28, "Custom Headers").
const MARK: &str = "x-mcp-header";
const MAX_DEPTH: usize = 16;

/// The request that a server gets for a client's.
pub(super) fn message(id: Option<&Id>, method: &str, params: Map<String, Value>) -> Value {
    let mut message = Map::from_iter([("jsonrpc".to_owned(), json!("2.0"))]);
    if let Some(id) = id {
        message.insert("id".to_owned(), id.as_value().clone());
    }
    message.insert("method".to_owned(), json!(method));
    message.insert("params".to_owned(), Value::Object(params));
    Value::Object(message)
}

/// Its parameters, as far as they are known, with `_meta` made anew.
pub(super) fn params(
    (era, method): (Era, &str),
    sent: &Map<String, Value>,
    client: Option<&str>,
) -> Map<String, Value> {
    let mut params = known(method, sent);
    let known = sent.get("_meta").and_then(Value::as_object);
    let is_brief = |value: &Value| match value {
        Value::String(text) => text.len() <= MAX_META_BYTES,
        Value::Number(_) => true,
        _ => false,
    };
    let passed = known.into_iter().flatten();
    let passed = passed.filter(|(name, value)| META.contains(&name.as_str()) && is_brief(value));
    let mut meta: Map<String, Value> =
        passed.map(|(name, value)| (name.clone(), value.clone())).collect();
    if era == Era::Modern {
        let declared = known.and_then(|meta| meta.get(CAPABILITIES)).and_then(Value::as_object);
        let capabilities = Value::Object(capabilities(declared));
        meta.insert("io.modelcontextprotocol/protocolVersion".to_owned(), json!(MODERN_REVISION));
        meta.insert(CAPABILITIES.to_owned(), capabilities);
        meta.insert("io.modelcontextprotocol/clientInfo".to_owned(), client_info(client));
    }
    if !meta.is_empty() {
        params.insert("_meta".to_owned(), Value::Object(meta));
    }
    params
}

/// What is known of a method's parameters.
pub(super) fn known(method: &str, sent: &Map<String, Value>) -> Map<String, Value> {
    let passed = PASSED.iter().find(|(it, _)| *it == method).map_or(&[][..], |(_, passed)| passed);
    let mut params = sent.clone();
    params.retain(|name, _| passed.contains(&name.as_str()));
    for (_, member, kind, passed) in PASSED_WITHIN.iter().filter(|(it, ..)| *it == method) {
        let Some(Value::Object(within)) = params.get_mut(*member) else { continue };
        if kind.is_none() || within.get("type").and_then(Value::as_str) == *kind {
            within.retain(|name, _| passed.contains(&name.as_str()));
        }
    }
    params
}

/// Of what a client declares that it can do, what is passed on.
pub(super) fn capabilities(declared: Option<&Map<String, Value>>) -> Map<String, Value> {
    let passes = |(name, value): &(&String, &Value)| {
        let is_known = PASSED_CAPABILITIES.contains(&name.as_str());
        is_known && value.is_object() && value.to_string().len() <= MAX_META_BYTES
    };
    let passed = declared.into_iter().flatten().filter(passes);
    passed.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The gateway, and in brackets what the client calls itself.
pub(super) fn client_info(client: Option<&str>) -> Value {
    let client: String = client
        .unwrap_or_default()
        .chars()
        .filter(|c| !c.is_control())
        .take(MAX_CLIENT_CHARS)
        .collect();
    let name =
        if client.is_empty() { "tallyport".to_owned() } else { format!("tallyport ({client})") };
    json!({ "name": name, "version": env!("CARGO_PKG_VERSION") })
}

/// What goes on record of it, and what it is approved by.
pub(super) fn statement(method: &str, params: &Map<String, Value>) -> Result<String, RpcError> {
    let mut said = params.clone();
    said.remove("_meta");
    if method != "tools/call" {
        said.insert("method".to_owned(), json!(method));
    }
    canonical(&Value::Object(said)).map_err(|error| RpcError::invalid_params(error.to_string()))
}

/// The fields that repeat arguments, for a tool whose schema marks some: names in lower case.
pub(super) fn argument_fields(
    schema: &Value,
    arguments: &Map<String, Value>,
) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    gather(schema, arguments, 0, &mut fields);
    fields
}

fn gather(
    schema: &Value,
    arguments: &Map<String, Value>,
    depth: usize,
    fields: &mut Vec<(String, String)>,
) {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else { return };
    if depth > MAX_DEPTH {
        return;
    }
    for (name, property) in properties {
        let Some(value) = arguments.get(name) else { continue };
        let said = match value {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(truth) => Some(truth.to_string()),
            _ => None,
        };
        if let (Some(mark), Some(said)) = (property.get(MARK).and_then(Value::as_str), said) {
            fields.push((format!("mcp-param-{}", mark.to_ascii_lowercase()), encoded(&said)));
        }
        if let Some(inner) = value.as_object() {
            gather(property, inner, depth + 1, fields);
        }
    }
}

/// Whether what a client sent of such fields is what its arguments say: who routes by the one and serves by the other would be
/// led astray.
pub(super) fn check_fields(
    sent: &[(String, String)],
    meant: &[(String, String)],
) -> Result<(), RpcError> {
    // A value may be encoded that need not be.
    let plain = |(name, value): &(String, String)| {
        (name.clone(), decoded(value).map_or_else(|| value.clone(), |it| encoded(&it)))
    };
    let mut sent: Vec<_> = sent.iter().map(plain).collect();
    let mut meant = meant.to_vec();
    sent.sort_unstable();
    meant.sort_unstable();
    if sent == meant {
        return Ok(());
    }
    Err(RpcError::header_mismatch("Mcp-Param headers do not match the arguments"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn nothing_of_the_client_is_passed_on_but_what_the_protocol_knows() {
        let sent = object(json!({
            "name": "t", "arguments": {"a": 1},
            "_meta": {"progressToken": 5, "token": "secret", "tracestate": "x".repeat(513), "traceparent": {"a": "secret"}, "io.modelcontextprotocol/clientInfo": {"name": "x"}, CAPABILITIES: {
                "sampling": {}, "extensions": {"io.modelcontextprotocol/tasks": {}}, "experimental": {"secret": 1}, "roots": true,
                "elicitation": {"long": "x".repeat(513)},
            }},
        }));
        let modern = Value::Object(params((Era::Modern, "tools/call"), &sent, Some("desk\n")));
        let meta = &modern["_meta"];
        assert_eq!(meta["io.modelcontextprotocol/clientInfo"]["name"], "tallyport (desk)");
        assert_eq!(
            (&meta["progressToken"], &meta[CAPABILITIES]),
            (&json!(5), &json!({"sampling": {}}))
        );
        assert_eq!(meta.as_object().unwrap().len(), 4, "{meta}");
        assert!(meta.get("token").is_none() && modern["arguments"] == json!({"a": 1}));
        let legacy = Value::Object(params((Era::Legacy, "tools/call"), &sent, None));
        assert_eq!(legacy["_meta"], json!({"progressToken": 5}));
        assert_eq!(statement("tools/call", &sent).unwrap(), r#"{"arguments":{"a":1},"name":"t"}"#);
        assert_eq!(
            statement("resources/read", &object(json!({"uri": "a:b"}))).unwrap(),
            r#"{"method":"resources/read","uri":"a:b"}"#
        );
        assert!(statement("tools/call", &object(json!({"n": 1e300}))).is_err());
    }

    #[test]
    fn what_nobody_decided_about_is_not_passed_on() {
        for (method, sent, passed) in [
            (
                "resources/read",
                json!({"uri": "file:///pub", "URI": "file:///secret", "Uri": 1, "requestState": "s"}),
                json!({"uri": "file:///pub", "requestState": "s"}),
            ),
            (
                "completion/complete",
                json!({"ref": {"type": "ref/prompt", "name": "open", "uri": "file:///secret"}, "argument": {"name": "a", "x": 1}, "x": 1}),
                json!({"ref": {"type": "ref/prompt", "name": "open"}, "argument": {"name": "a"}}),
            ),
            (
                "completion/complete",
                json!({"ref": {"type": "ref/resource", "URI": "file:///secret", "uri": "a:b", "name": "n"}}),
                json!({"ref": {"type": "ref/resource", "uri": "a:b"}}),
            ),
            (
                "subscriptions/listen",
                json!({"notifications": {"resourceSubscriptions": ["a:b"], "resourcesubscriptions": ["a:c"]}}),
                json!({"notifications": {"resourceSubscriptions": ["a:b"]}}),
            ),
            ("prompts/list", json!({"cursor": "c", "name": "closed"}), json!({"cursor": "c"})),
            ("ping", json!({"a": 1}), json!({})),
        ] {
            let params = params((Era::Legacy, method), &object(sent), None);
            assert_eq!(Value::Object(params), passed, "{method}");
        }
    }

    #[test]
    fn marked_arguments_are_repeated_in_fields_and_nothing_else_is() {
        let schema = json!({"properties": {
            "region": {"type": "string", "x-mcp-header": "Region"}, "n": {"x-mcp-header": "N"}, "plain": {}, "gone": {"x-mcp-header": "Gone"},
            "deep": {"properties": {"flag": {"x-mcp-header": "Flag"}}},
        }});
        let arguments =
            object(json!({"region": "é", "n": 7, "plain": "x", "deep": {"flag": true}}));
        let mut fields = argument_fields(&schema, &arguments);
        fields.sort();
        let want = [
            ("mcp-param-flag", "true"),
            ("mcp-param-n", "7"),
            ("mcp-param-region", "=?base64?w6k=?="),
        ];
        let want: Vec<_> = want.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(fields, want);
        assert!(check_fields(&want, &fields).is_ok());
        let also = vec![("mcp-param-n".to_owned(), "=?base64?Nw==?=".to_owned())];
        assert!(check_fields(&also, &want[1..2]).is_ok(), "encoded without need");
        assert!(check_fields(&want[1..], &fields).is_err(), "one is missing");
        let other = vec![("mcp-param-n".to_owned(), "8".to_owned())];
        assert!(check_fields(&other, &[]).is_err(), "one is not meant");
    }
}

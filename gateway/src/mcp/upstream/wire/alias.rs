//! What a request is called at its server. A child is asked by several clients of one caller on one pipe: there, ids and the
//! names of progress are the gateway's own, and go on record as such.

use gateway_core::mcp::Id;
use serde_json::{Map, Value};

const META: &str = "_meta";
const TOKEN: &str = "progressToken";
/// By what a notification names the request for which it is sent (2026-07-28, `subscriptions/listen`).
pub(super) const SUBSCRIPTION: &str = "io.modelcontextprotocol/subscriptionId";

/// One request's two names.
#[derive(Clone, Debug)]
pub(in crate::mcp::upstream) struct Alias {
    at_server: Id,
    at_client: Id,
    /// What its client wants progress to name, where that is not what the server names.
    token: Option<Value>,
}

impl Alias {
    /// Both are one.
    pub(in crate::mcp::upstream) fn same(id: Id) -> Self {
        Self { at_server: id.clone(), at_client: id, token: None }
    }

    /// It is this at the server, and so is what its progress is to name, where that is wanted.
    pub(super) fn new(number: Id, at_client: Id, params: &mut Map<String, Value>) -> Self {
        let meta = params.get_mut(META).and_then(Value::as_object_mut);
        let token = meta.and_then(|meta| meta.get_mut(TOKEN));
        let token = token.map(|token| std::mem::replace(token, number.as_value().clone()));
        Self { at_server: number, at_client, token }
    }

    pub(in crate::mcp::upstream) const fn at_server(&self) -> &Id {
        &self.at_server
    }

    pub(in crate::mcp::upstream) const fn at_client(&self) -> &Id {
        &self.at_client
    }

    fn is_same(&self) -> bool {
        self.at_server == self.at_client
    }

    /// Puts the client's names into what the server says beside its answer. Whether it may pass.
    pub(in crate::mcp::upstream) fn rename(&self, message: &mut Value) -> bool {
        if self.is_same() {
            return true;
        }
        let is_progress =
            message.get("method").and_then(Value::as_str) == Some("notifications/progress");
        let Some(params) = message.get_mut("params") else { return !is_progress };
        if is_progress {
            // Nobody asked for it, where there is none.
            let (Some(token), Some(named)) = (&self.token, params.get_mut(TOKEN)) else {
                return false;
            };
            return std::mem::replace(named, token.clone()) == *self.at_server.as_value();
        }
        if let Some(named) = params.get_mut(META).and_then(|meta| meta.get_mut(SUBSCRIPTION)) {
            *named = self.at_client.as_value().clone();
        }
        true
    }

    /// The same of its answer.
    pub(in crate::mcp::upstream) fn rename_answer(&self, message: &mut Value) {
        if let Some(id) = message.get_mut("id") {
            *id = self.at_client.as_value().clone();
        }
        let meta = message.pointer_mut("/result/_meta").and_then(Value::as_object_mut);
        if let Some(named) = meta.and_then(|meta| meta.get_mut(SUBSCRIPTION)) {
            *named = self.at_client.as_value().clone();
        }
    }
}

/// The request that a notification names, where it names one.
pub(super) fn named(message: &Value) -> Option<&Value> {
    let params = message.get("params")?;
    match message.get("method").and_then(Value::as_str) {
        Some("notifications/progress") => Some(params.get(TOKEN).unwrap_or(&Value::Null)),
        _ => params.get(META)?.get(SUBSCRIPTION),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn id(value: Value) -> Id {
        Id::read(&value).unwrap()
    }

    #[test]
    fn both_sides_have_their_own_names() {
        let mut params = Map::new();
        params.insert(META.to_owned(), json!({ TOKEN: "mine", "traceparent": "t" }));
        let alias = Alias::new(id(json!(1007)), id(json!("c-1")), &mut params);
        assert_eq!(params[META], json!({ TOKEN: 1007, "traceparent": "t" }));
        let progress = |token: Value| json!({ "method": "notifications/progress", "params": { TOKEN: token } });
        let mut told = progress(json!(1007));
        assert!(alias.rename(&mut told));
        assert_eq!(told, progress(json!("mine")));
        for other in [json!(1008), json!("1007"), json!("mine"), Value::Null] {
            assert!(!alias.rename(&mut progress(other.clone())), "{other}");
        }
        let mut answer = json!({ "id": 1007, "result": { META: { SUBSCRIPTION: 1007 } } });
        alias.rename_answer(&mut answer);
        assert_eq!(answer, json!({ "id": "c-1", "result": { META: { SUBSCRIPTION: "c-1" } } }));
        let mut changed = json!({ "method": "x", "params": { META: { SUBSCRIPTION: 1007 } } });
        assert_eq!(named(&changed), Some(&json!(1007)));
        assert!(alias.rename(&mut changed));
        assert_eq!(named(&changed), Some(&json!("c-1")));
    }

    #[test]
    fn progress_that_nobody_wants_does_not_pass() {
        let alias = Alias::new(id(json!(1007)), id(json!(1)), &mut Map::new());
        let mut told = json!({ "method": "notifications/progress", "params": { TOKEN: 1007 } });
        assert!(!alias.rename(&mut told));
        assert!(alias.rename(&mut json!({ "method": "notifications/message" })));
        assert!(!alias.rename(&mut json!({ "method": "notifications/progress" })));
        assert!(Alias::same(id(json!(1))).rename(&mut told), "as HTTP has it");
    }
}

//! The room as its people's own programs see it: over the client-server API of the homeserver.

use std::sync::atomic::{AtomicU32, Ordering};

use dev_services::DevService;
use reqwest::Method;
use serde_json::{Value, json};
use tallyport_tests::eventually;

pub struct Room {
    homeserver: DevService,
    runtime: tokio::runtime::Runtime,
    sent: AtomicU32,
}

impl Room {
    pub fn new(homeserver: DevService) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        Self { homeserver, runtime, sent: AtomicU32::new(0) }
    }

    pub fn url(&self) -> &str {
        self.homeserver.text("url")
    }

    pub fn id(&self) -> &str {
        self.homeserver.text("room")
    }

    pub fn token(&self, user: &str) -> &str {
        self.homeserver.ready()["users"][user]["token"].as_str().unwrap()
    }

    /// The only request whose message has this in it, as it was first shown.
    pub fn request(&self, part: &str) -> Value {
        let mut found = Vec::new();
        let there = eventually(|| {
            found = self.requests(part);
            found.len() == 1
        });
        assert!(there, "{part}: {found:#?}");
        found.remove(0)
    }

    /// All requests whose message had this in it when it was first shown.
    pub fn requests(&self, part: &str) -> Vec<Value> {
        let is_edit = |event: &Value| event["content"]["m.new_content"].is_object();
        let of = |event: &Value| event["content"]["msgtype"] == "m.text" && !is_edit(event);
        self.bridge_said(part).into_iter().filter(of).collect()
    }

    /// Waits until the bridge says this in a notice.
    pub fn says(&self, part: &str) {
        let notice = |event: &Value| event["content"]["msgtype"] == "m.notice";
        let there = || self.bridge_said(part).iter().any(notice);
        assert!(eventually(there), "{part} is not in {:#?}", self.bridge_said(""));
    }

    /// Waits until the request's message shows this.
    pub fn shows(&self, request: &Value, part: &str) {
        let there = || self.now_shows(request).contains(part);
        assert!(eventually(there), "{part} is not in\n{}", self.now_shows(request));
    }

    fn now_shows(&self, request: &Value) -> String {
        let is_edit = |event: &&Value| {
            let relation = &event["content"]["m.relates_to"];
            relation["rel_type"] == "m.replace" && relation["event_id"] == request["event_id"]
        };
        let events = self.events();
        let newest = events.iter().find(is_edit).map(|edit| &edit["content"]["m.new_content"]);
        newest.unwrap_or(&request["content"])["body"].as_str().unwrap_or_default().to_owned()
    }

    pub fn react(&self, user: &str, request: &Value, mark: &str) {
        let relation =
            json!({ "rel_type": "m.annotation", "event_id": request["event_id"], "key": mark });
        self.send(user, "m.reaction", &json!({ "m.relates_to": relation }));
    }

    pub fn reply(&self, user: &str, request: &Value, text: &str) {
        let relation = json!({ "m.in_reply_to": { "event_id": request["event_id"] } });
        let content = json!({ "msgtype": "m.text", "body": text, "m.relates_to": relation });
        self.send(user, "m.room.message", &content);
    }

    /// What this user is told of as a mention.
    pub fn highlights(&self, user: &str) -> Vec<Value> {
        let told = self.call(Method::GET, "notifications?only=highlight", user, None);
        let mut told = told["notifications"].as_array().unwrap().clone();
        // The invitation into the room is one.
        told.retain(|one| one["event"]["type"] == "m.room.message");
        told
    }

    fn bridge_said(&self, part: &str) -> Vec<Value> {
        let of = |event: &Value| {
            let body = event["content"]["body"].as_str().unwrap_or_default();
            event["sender"] == "@bridge:localhost" && body.contains(part)
        };
        self.events().into_iter().filter(of).collect()
    }

    /// The newest first.
    fn events(&self) -> Vec<Value> {
        let path = format!("rooms/{}/messages?dir=b&limit=200", self.id());
        self.call(Method::GET, &path, "ann", None)["chunk"].as_array().unwrap().clone()
    }

    fn send(&self, user: &str, kind: &str, content: &Value) {
        let once = self.sent.fetch_add(1, Ordering::SeqCst);
        let path = format!("rooms/{}/send/{kind}/{once}", self.id());
        self.call(Method::PUT, &path, user, Some(content));
    }

    fn call(&self, method: Method, path: &str, user: &str, body: Option<&Value>) -> Value {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let url = format!("{}/_matrix/client/v3/{path}", self.url());
        let mut request = client.request(method, url).bearer_auth(self.token(user));
        if let Some(body) = body {
            request = request.json(body);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.expect("the homeserver answers");
            let status = answer.status();
            let said: Value = answer.json().await.expect("JSON");
            assert!(status.is_success(), "{path}: {status} {said}");
            said
        })
    }
}

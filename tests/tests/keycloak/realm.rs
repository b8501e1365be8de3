//! A realm of a real Keycloak, and its admin API.

use std::process::Command;

use dev_services::DevService;
use reqwest::Method;
use serde_json::{Value, json};
use tallyport_tests::start_or_say;
use tokio::runtime::Runtime;

pub struct Realm {
    service: DevService,
    http: reqwest::Client,
    runtime: Runtime,
}

impl Realm {
    /// `back` is where people are sent after they signed in.
    pub fn start(test: &str, back: &str) -> Option<Self> {
        let service = start_or_say(test, "keycloak", &["--redirect", back])?;
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build().unwrap();
        Some(Self { service, http, runtime: Runtime::new().unwrap() })
    }

    pub fn ready(&self) -> &Value {
        self.service.ready()
    }

    pub fn text(&self, key: &str) -> &str {
        self.service.text(key)
    }

    pub fn secret(&self, client: &str) -> &str {
        let clients = self.ready()["clients"].as_array().unwrap();
        let client = clients.iter().find(|it| it["id"] == client).unwrap();
        client["secret"].as_str().unwrap()
    }

    /// A token of this client, by itself: whoever has it can use it.
    pub fn bearer(&self, client: &str) -> String {
        self.token(self.text("token_url"), client, self.secret(client))
    }

    fn token(&self, url: &str, client: &str, secret: &str) -> String {
        let form = [
            ("grant_type", "client_credentials"),
            ("client_id", client),
            ("client_secret", secret),
        ];
        let request = self.http.post(url).form(&form);
        let answer: Value =
            self.runtime.block_on(async { request.send().await.unwrap().json().await.unwrap() });
        answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned()
    }

    /// Asks the admin API; its tokens live for a minute, so each request has its own.
    fn admin(&self, method: Method, path: &str, body: Option<Value>) -> Value {
        let admin = &self.ready()["admin"];
        let (id, secret) = (admin["id"].as_str().unwrap(), admin["secret"].as_str().unwrap());
        let token = self.token(self.text("admin_token_url"), id, secret);
        let url = format!("{}{path}", self.text("admin_url"));
        let mut request = self.http.request(method, url).bearer_auth(token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.runtime.block_on(async {
            let answer = request.send().await.unwrap();
            assert!(answer.status().is_success(), "{path}: {}", answer.status());
            answer.json().await.unwrap_or(Value::Null)
        })
    }

    /// A new RSA key that signs from now on.
    pub fn add_key(&self, name: &str, priority: &str) {
        let key = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
        let key = Command::new("openssl").args(key).output().unwrap();
        let key = String::from_utf8(key.stdout).unwrap();
        let key: String = key.lines().filter(|line| !line.starts_with("-----")).collect();
        let realm = self.admin(Method::GET, "", None);
        let component = json!({
            "name": name, "providerId": "rsa", "providerType": "org.keycloak.keys.KeyProvider",
            "parentId": realm["id"],
            "config": { "priority": [priority], "algorithm": ["RS256"], "privateKey": [key] },
        });
        self.admin(Method::POST, "/components", Some(component));
    }

    /// It signs no more and is still published.
    pub fn make_passive(&self, name: &str) {
        let mut key = self.key(name);
        key["config"]["active"] = json!(["false"]);
        self.admin(Method::PUT, &place(&key), Some(key));
    }

    pub fn remove_key(&self, name: &str) {
        self.admin(Method::DELETE, &place(&self.key(name)), None);
    }

    fn key(&self, name: &str) -> Value {
        let keys = "/components?type=org.keycloak.keys.KeyProvider";
        let keys = self.admin(Method::GET, keys, None);
        keys.as_array().unwrap().iter().find(|key| key["name"] == name).unwrap().clone()
    }
}

fn place(key: &Value) -> String {
    format!("/components/{}", key["id"].as_str().unwrap())
}
